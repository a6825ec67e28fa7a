"""The fake Stash of the benchmarks of scans: one scene for each file, each file under a name of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Options
from tests.bench.scan_library import lay_out
from tests.fakes.stash.library import Library
from tests.fakes.stash.media_facts import video_facts
from tests.fakes.stash.server import FakeStash
from tests.serve_app.conftest import server_environment

ROOT = "/library"
"""The library's folder as Stash sees it."""


@dataclass(frozen=True)
class BenchStash:
    """A running fake Stash and where its files are here."""

    fake: FakeStash
    folder: Path

    @property
    def url(self) -> str:
        return self.fake.url

    def opened(self) -> int:
        """Returns how often a video was begun to be read over HTTP so far."""
        return sum(1 for r in self.fake.requests.named("/stream") if not r.range or r.range.startswith("bytes=0-"))


@contextmanager
def stash_of(files: list[Path]) -> Iterator[BenchStash]:
    """A fake Stash with one scene a file, in this order; files that are not there are gone since Stash saw them."""
    with tempfile.TemporaryDirectory(prefix="bs-") as name:
        folder = Path(name)
        library = Library()
        library.roots[ROOT] = folder
        for number, link in enumerate(lay_out(folder, files), start=1):
            facts = video_facts(link) if link.exists() else {"size": 0, "duration": 10.0}
            # The same file stands under many names: what identifies it must differ.
            facts["fingerprints"] = (("oshash", f"{number:016x}"),)
            file = library.add_file(kind="video", path=f"{ROOT}/{link.name}", local=link, **facts)
            library.add("scene", title=link.stem, file_ids=(file.id,))
        with FakeStash(library) as fake:
            yield BenchStash(fake, folder)


def side_environment(
    data_dir: Path, options: Options, stash: BenchStash, *, over_http: bool = False, **variables: str
) -> dict[str, str]:
    """Returns the environment of a process that scans this Stash into `data_dir`; its port is never listened on.

    `variables` are set as they are, beside the settings.
    """
    settings = {"STASH_URL": stash.url, "SCAN_NICENESS": "0"}
    if not over_http:
        settings["PATH_MAP"] = f'["{ROOT}={stash.folder}"]'
    return server_environment(data_dir, 6999, options.models.parent, **settings) | variables
