"""Starts a fake stash-box: `python -m tests.fakes.stashbox`. Prints its address, then serves until it is stopped."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from tests.fakes.stash.server import REPOSITORY
from tests.fakes.stashbox.server import KEY, FakeStashBox
from tests.fakes.stashbox.world import large_world, sample_world


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.stashbox", description=__doc__)
    parser.add_argument("--port", type=int, default=9998, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--api-key", default=KEY)
    parser.add_argument("--performers", type=int, default=0, help="so many; the people of the test data when 0")
    parser.add_argument("--photos", type=int, default=3, help="of each of --performers")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when whoever began it is gone")
    given = parser.parse_args()
    data = REPOSITORY / "tests" / "data"
    world = large_world(data, given.performers, given.photos) if given.performers else sample_world(data)
    box = FakeStashBox(world, api_key=given.api_key, host=given.host, port=given.port)
    box.knobs.set(latency_s=given.latency_s)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    if given.until_stdin_ends:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), stopped.set()), daemon=True).start()
    with box:
        print(box.url, flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
