"""A strict fake of a Stash server: its GraphQL, its media routes, its keys, its traps, and faults on request.

    with FakeStash(sample_library(data), api_key="secret") as stash:
        stash.url, stash.knobs, stash.requests, stash.library

`python -m tests.fakes.stash` starts one as a process of its own; `StashProcess` does so from Python.
"""

from tests.fakes.stash.generate import (
    bench_library,
    box_id,
    generate_library,
    odd_library,
    sample_library,
    sample_stash_id,
)
from tests.fakes.stash.knobs import Knobs, Request, RequestLog
from tests.fakes.stash.library import FANSDB, STASHDB, Library, StashFailure
from tests.fakes.stash.media_facts import image_facts, md5, oshash, video_facts
from tests.fakes.stash.records import Box, File, Gallery, Image, Performer, Scene, StashId, Studio, Tag
from tests.fakes.stash.server import FakeStash, StashProcess

__all__ = [
    "FANSDB",
    "STASHDB",
    "Box",
    "FakeStash",
    "File",
    "Gallery",
    "Image",
    "Knobs",
    "Library",
    "Performer",
    "Request",
    "RequestLog",
    "Scene",
    "StashFailure",
    "StashId",
    "StashProcess",
    "Studio",
    "Tag",
    "bench_library",
    "box_id",
    "generate_library",
    "image_facts",
    "md5",
    "odd_library",
    "oshash",
    "sample_library",
    "sample_stash_id",
    "video_facts",
]
