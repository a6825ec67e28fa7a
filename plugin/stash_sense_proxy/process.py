"""One call of the plugin from stdin to stdout, in Stash's raw protocol.

stdin   {"server_connection": {...}, "args": {"mode": ..., ...}}
stdout  {"output": {"output": ...}}   what the server answered
{"output": {"failed": {...}}} why it did not, for the page to show
{"error": "..."}              a call that makes no sense: Stash shows it as an error of its API
"""

from __future__ import annotations

import json
import traceback
from typing import Any, BinaryIO

from stash_sense_proxy.calls import Proxy
from stash_sense_proxy.failures import Failure
from stash_sense_proxy.log import log
from stash_sense_proxy.stash import Stash


def main(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Answers one call; the exit code is 0 unless even that failed."""
    stdout.write(json.dumps(respond(stdin.read())).encode())
    stdout.flush()
    return 0


def respond(text: bytes) -> dict[str, Any]:
    """Returns what goes to stdout."""
    try:
        given = json.loads(text)
        connection, args = given["server_connection"], dict(given["args"])
    except (ValueError, KeyError, TypeError):
        return {"error": "the plugin was not started as Stash starts plugins"}
    try:
        stash = Stash(connection)
        return {"output": {"output": Proxy(stash, stash.setup()).answer(args)}}
    except Failure as failure:
        if failure.code == "bad_call":
            return {"error": f"{failure.message} {failure.hint}".strip()}
        log("warning" if failure.status else "error", f"{args.get('mode')}: {failure.message}")
        return {"output": {"failed": failure.as_dict()}}
    except Exception:  # noqa: BLE001 - the edge of the process: Stash must get an answer in its protocol
        log("error", traceback.format_exc())
        return {"error": f"the plugin failed in {args.get('mode')!r}; the log of Stash says more"}
