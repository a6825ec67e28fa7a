"""Generated clips, made once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.media_files import Clip, write_clip

MakeClip = Callable[[str, Clip], Path]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Returns a function (file name, clip) -> path that makes each file once."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Clip] = {}

    def make(name: str, clip: Clip) -> Path:
        assert made.setdefault(name, clip) == clip, f"{name} is the name of another clip"
        path = folder / name
        return path if path.exists() else write_clip(path, clip)

    return make


@pytest.fixture(scope="session")
def long_clip(clips: MakeClip) -> Path:
    """100 s at 10 frames/s, a key frame every 2 s."""
    return clips("long.mp4", LONG)


LONG = Clip(frames=1000, fps=10, width=160, height=96, gop=20, options={"preset": "ultrafast", "sc_threshold": "0"})
