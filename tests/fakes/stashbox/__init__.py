"""A strict fake of a stash-box: its GraphQL, its keys, its pictures, and faults on request.

    with FakeStashBox(sample_world(data)) as box:
        box.endpoint, box.knobs, box.requests, box.world

`python -m tests.fakes.stashbox` starts one as a process of its own; `StashBoxProcess` does so from Python.
"""

from tests.fakes.stashbox.knobs import BoxKnobs
from tests.fakes.stashbox.server import KEY, FakeStashBox, StashBoxProcess
from tests.fakes.stashbox.world import Performer, Picture, World, box_uuid, large_world, sample_world

__all__ = [
    "KEY",
    "BoxKnobs",
    "FakeStashBox",
    "Performer",
    "Picture",
    "StashBoxProcess",
    "World",
    "box_uuid",
    "large_world",
    "sample_world",
]
