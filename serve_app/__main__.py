"""`python -m serve_app`: serves until Ctrl-C or SIGTERM, with the settings in force. `stash-sense up` does more."""

from __future__ import annotations

import sys

from pipelines.errors import StashSenseError
from pipelines.settings import load_settings
from serve_app.local import start


def main() -> int:
    """Returns the exit code: 0 after a stop that was asked for, 1 when the server cannot start."""
    try:
        with start(load_settings()) as server:
            sys.stdout.write(f"Serving on {server.url} after {server.startup_s:.1f} s\n")
            sys.stdout.flush()
            server.wait()
    except StashSenseError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
