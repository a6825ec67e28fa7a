"""Starts a fake Stash: `python -m tests.fakes.stash`. Prints its address, then serves until it is stopped."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from tests.fakes.stash.generate import bench_library, generate_library, sample_library
from tests.fakes.stash.library import Library
from tests.fakes.stash.media_facts import media_type
from tests.fakes.stash.schema import LATEST
from tests.fakes.stash.server import REPOSITORY, FakeStash


def main() -> None:
    arguments = _parser().parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    stash = FakeStash(
        _library(arguments),
        api_key=arguments.api_key,
        version=arguments.version,
        host=arguments.host,
        port=arguments.port,
        pictures=arguments.pictures,
    )
    stash.knobs.set(latency_s=arguments.latency_s)
    if arguments.until_stdin_ends:
        threading.Thread(target=_wait_for_the_end, args=(stopped,), daemon=True).start()
    with stash:
        print(stash.url, flush=True)
        stopped.wait()


def _wait_for_the_end(stopped: threading.Event) -> None:
    while sys.stdin.buffer.read(1024):
        pass
    stopped.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.stash", description=__doc__)
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--api-key", help="without it the server needs none, and refuses any")
    parser.add_argument("--version", default=LATEST, help="0.25 to 0.31")
    parser.add_argument("--scenes", type=int, default=0, help="invented scenes; the sample library when 0")
    parser.add_argument("--performers", type=int, default=50)
    parser.add_argument("--media", type=Path, action="append", default=[], help="a video or a folder of them")
    parser.add_argument("--links", type=Path, help="folder for links to the media, one name a scene")
    parser.add_argument("--pictures", type=Path, help="folder that keeps covers and sprites")
    parser.add_argument("--tagged", action="store_true", help="the sample library's media name their people")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when whoever began it is gone")
    return parser


def _library(arguments: argparse.Namespace) -> Library:
    """--links repeats the media over all scenes; without it each file is one scene, the rest are facts."""
    media = [path for given in arguments.media for path in _videos(given)]
    if arguments.links is not None:
        return bench_library(arguments.links, media, arguments.scenes or len(media), seed=arguments.seed)
    if arguments.scenes or media:
        scenes = max(arguments.scenes, len(media))
        return generate_library(scenes, media=media, performers=arguments.performers, seed=arguments.seed)
    return sample_library(REPOSITORY / "tests" / "data", tagged=arguments.tagged)


def _videos(given: Path) -> list[Path]:
    found = sorted(given.rglob("*")) if given.is_dir() else [given]
    return [path for path in found if media_type(path) == "video"]


if __name__ == "__main__":
    main()
