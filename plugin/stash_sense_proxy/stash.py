"""Stash itself, asked with the session that it hands to the plugin: the plugin's settings, Stash's address and key."""

from __future__ import annotations

from typing import Any, NamedTuple

from stash_sense_proxy import PLUGIN_ID
from stash_sense_proxy.failures import Failure
from stash_sense_proxy.http import Server, Unreachable

TIMEOUT_S = 10.0
ANYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - what Stash calls "all addresses"; compared, never bound


class Setup(NamedTuple):
    """The plugin's settings as Stash keeps them."""

    server_url: str
    api_key: str


class Stash:
    """The Stash that started this process."""

    def __init__(self, connection: dict[str, Any]) -> None:
        """`connection` is `server_connection` of Stash's input. Raises Failure when it is not complete."""
        try:
            scheme, host, port = connection["Scheme"], connection["Host"], int(connection["Port"])
        except (KeyError, TypeError, ValueError) as error:
            raise Failure("bad_call", "Stash did not say where it is.", "Is this started by Stash?") from error
        host = "127.0.0.1" if host in ANYWHERE else host
        self.url = f"{scheme}://{'[' + host + ']' if ':' in host else host}:{port}"
        cookie = connection.get("SessionCookie") or {}
        headers = {"Cookie": f"{cookie['Name']}={cookie['Value']}"} if cookie.get("Value") else {}
        # Stash's certificate is its own, and names whatever address the owner uses; this is the same machine.
        self._server = Server(self.url, headers, verify=False)

    def setup(self) -> Setup:
        """Returns the settings of the plugin. Raises Failure when Stash does not tell them, or there are none."""
        query = "query($ids: [ID!]) { configuration { plugins(include: $ids) } }"
        kept = self._ask(query, {"ids": [PLUGIN_ID]})["configuration"]["plugins"].get(PLUGIN_ID) or {}
        url = str(kept.get("serverUrl") or "").strip()
        if not url:
            raise Failure(
                "not_set_up",
                "The plugin does not know where the Stash Sense server is.",
                "In Stash, Settings, Plugins, Stash Sense: set Server URL, such as http://127.0.0.1:6960.",
            )
        return Setup(url, str(kept.get("apiKey") or "").strip())

    def key(self) -> str:
        """Returns Stash's own API key, "" when it has none. Raises Failure."""
        answer = self._ask("query { configuration { general { apiKey } } }", {})
        return str(answer["configuration"]["general"]["apiKey"] or "")

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._server.ask("POST", "/graphql", {"query": query, "variables": variables}, TIMEOUT_S)
        except Unreachable as error:
            raise Failure("stash_unreachable", f"Stash does not answer its own plugin: {error.reason}.") from error
        said = answer.json()
        if answer.status != 200 or not isinstance(said, dict) or not said.get("data"):
            raise Failure("stash_unreachable", f"Stash refused its own plugin (HTTP {answer.status}).")
        data: dict[str, Any] = said["data"]
        return data
