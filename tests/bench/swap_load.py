"""A steady load on a server, from a process of its own: requests leave on time whether answers have come or not.

`python -m tests.bench.swap_load` reads a JSON object {url, key, photos, rate_per_s, seconds} from stdin and prints one
JSON list a request: [due_s, latency_s, status, version, ids]. Times are of `time.monotonic`, which all processes share;
the latency counts from the moment at which the request was due. Ids are those of everybody who is named or a candidate.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).parents[2]
WORKERS = 64


@dataclass(frozen=True)
class Answer:
    """What became of one request; status 0 when there was no answer."""

    due_s: float
    latency_s: float
    status: int
    version: str
    ids: tuple[str, ...]


@dataclass
class Load:
    """A load that is running, and its answers once it is over."""

    answers: list[Answer] = field(default_factory=list)


@contextmanager
def load(url: str, key: str, photos: list[Path], rate_per_s: float, seconds: float) -> Iterator[Load]:
    """Load from another process for that long; the block ends with it, and its answers are there afterwards."""
    given = {
        "url": url,
        "key": key,
        "photos": [str(photo) for photo in photos],
        "rate_per_s": rate_per_s,
        "seconds": seconds,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.swap_load"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = Load()
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        process.stdin = None
        yield seen
        said, _ = process.communicate(timeout=seconds + 120)
    finally:
        process.kill()
        process.wait()
    seen.answers = [Answer(d, took, s, v, tuple(ids)) for d, took, s, v, ids in map(json.loads, said.splitlines())]


def mixed(answers: list[Answer], version_of: Mapping[str, str]) -> list[Answer]:
    """Returns the answers that name somebody who is not of the version they name.

    Args:
        version_of: version by the domain of its universal ids.
    """
    return [
        answer
        for answer in answers
        if answer.status == 200 and {version_of.get(i.partition(":")[0]) for i in answer.ids} - {answer.version}
    ]


def main() -> None:
    given = json.loads(sys.stdin.read())
    photos = [Path(photo).read_bytes() for photo in given["photos"]]
    host = urlsplit(given["url"]).netloc
    kept = local()
    began = time.monotonic() + 0.2

    def ask(number: int) -> list[Any]:
        due = began + number / given["rate_per_s"]
        time.sleep(max(0.0, due - time.monotonic()))
        status, version, ids = 0, "", []
        try:
            if not hasattr(kept, "connection"):
                kept.connection = http.client.HTTPConnection(host, timeout=60)
            headers = {"ApiKey": given["key"], "Content-Type": "image/jpeg"}
            kept.connection.request("POST", "/identify/image", photos[number % len(photos)], headers)
            response = kept.connection.getresponse()
            status, body = response.status, json.loads(response.read())
            version = body.get("database_version", "")
            people = [*body.get("people", ()), *body.get("unknown", ())]
            ids = sorted({c["universal_id"] for p in people for c in (*p["candidates"], p) if "universal_id" in c})
        except (OSError, http.client.HTTPException, ValueError):
            del kept.connection
        return [due, time.monotonic() - due, status, version, ids]

    with ThreadPoolExecutor(WORKERS) as pool:
        for answer in pool.map(ask, range(round(given["rate_per_s"] * given["seconds"]))):
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
