"""GraphQL of plugins: what is installed, their settings, and running one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.fakes.stash.resolvers import Info, context_of, resolver


@resolver("Query", "plugins")
def _plugins(_: Any, info: Info) -> list[dict[str, Any]]:
    context = context_of(info)
    return [
        {
            "id": plugin.id,
            "name": plugin.manifest["name"],
            "description": plugin.manifest.get("description"),
            "version": plugin.manifest.get("version"),
            "enabled": True,
            "requires": plugin.manifest.get("ui", {}).get("requires"),
            "paths": {
                kind: [f"{context.base_url}/plugin/{plugin.id}/{kind}"] if plugin.files(kind) else None
                for kind in ("javascript", "css")
            },
        }
        for plugin in context.plugins.all()
    ]


@resolver("ConfigResult", "plugins")
def _settings(_: Any, info: Info, include: list[str] | None = None) -> dict[str, Any]:
    kept = context_of(info).plugins.settings
    return {key: dict(value) for key, value in kept.items() if include is None or key in include}


@resolver("Mutation", "configurePlugin")
def _configure(_: Any, info: Info, plugin_id: str, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Replaces the settings of a plugin as a whole."""
    context_of(info).plugins.settings[plugin_id] = dict(input)
    return input


@resolver("Mutation", "runPluginOperation")
def _run(_: Any, info: Info, plugin_id: str, args: dict[str, Any] | None = None) -> Any:
    context = context_of(info)
    place = urlsplit(context.own_url)
    token = context.sessions.open()
    cookie = {
        "Name": "session",
        "Value": token,
        "Quoted": False,
        "Path": "/",
        "Domain": "",
        "Expires": "0001-01-01T00:00:00Z",
        "RawExpires": "",
        "MaxAge": 3600,
        "Secure": False,
        "HttpOnly": False,
        "SameSite": 0,
        "Partitioned": False,
        "Raw": "",
        "Unparsed": None,
    }
    connection = {
        "Scheme": "http",
        "Host": "0.0.0.0",  # noqa: S104 - what Stash says when it listens on all addresses, its default
        "Port": place.port,
        "SessionCookie": cookie,
        "Dir": "/root/.stash",
        "PluginDir": "",
    }
    return context.plugins.run(plugin_id, args or {}, connection)
