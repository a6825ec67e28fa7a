"""Downloads against a local server with faults."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import ModelChecksumMismatch, ModelFetchFailed
from pipelines.faces.packs import ModelFile
from pipelines.models.fetch import Fetching, download, mirror_url
from pipelines.transfer import FetchOptions
from tests.fakes.file_server import FileServer

CONTENT = bytes(i * i % 251 for i in range(300_000))
FILE = ModelFile("graph.onnx", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
QUICK = FetchOptions(attempts=3, connect_timeout_s=2, read_timeout_s=2, first_wait_s=0.01, longest_wait_s=0.05)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/graph.onnx": CONTENT}).running() as served:
        yield served


def _download(server: FileServer, folder: Path, **kwargs: object) -> bytes:
    fetching = Fetching(options=QUICK, **kwargs)
    path = download(mirror_url(server.url, "graph.onnx"), folder / "graph.onnx", FILE, fetching)
    assert {p.name for p in folder.iterdir()} == {"graph.onnx"}, "nothing but the file is left"
    return path.read_bytes()


def test_a_file_arrives_whole_and_progress_ends_at_its_size(server: FileServer, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    assert _download(server, tmp_path, progress=lambda *step: steps.append(step)) == CONTENT
    assert steps[-1] == ("graph.onnx", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_cut_connection_is_resumed_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    assert _download(server, tmp_path) == CONTENT
    ranges = [wanted for _, wanted in server.requests]
    assert ranges[0] == ""
    assert len(ranges) == 3
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in ranges[1:]]
    assert 0 < starts[0] <= 100_000
    assert starts[0] < starts[1] <= 150_000


def test_more_cuts_than_attempts_are_survived_while_bytes_arrive(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [40_000] * 6
    assert _download(server, tmp_path) == CONTENT


def test_a_later_call_goes_on_from_the_kept_part(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [120_000]
    server.statuses = []
    with pytest.raises(ModelFetchFailed) as raised:
        _broken_off(server, tmp_path)
    assert "next try goes on" in raised.value.hint
    kept = (tmp_path / "graph.onnx.part").stat().st_size
    assert 0 < kept <= 120_000
    assert not (tmp_path / "graph.onnx").exists()
    server.statuses.clear()
    server.requests.clear()
    assert _download(server, tmp_path) == CONTENT
    assert server.requests == [("/graph.onnx", f"bytes={kept}-")]


def _broken_off(server: FileServer, folder: Path) -> None:
    """One cut connection, then a server that only fails."""

    class CutThenFail(list[int]):
        def __bool__(self) -> bool:
            return len(server.requests) > 1

        def pop(self, _: object = 0) -> int:
            return 503

    server.statuses = CutThenFail()
    try:
        _download(server, folder)
    finally:
        server.statuses = []


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000]
    assert _download(server, tmp_path) == CONTENT
    assert len(server.requests) == 2


def test_a_server_without_ranges_that_always_cuts_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000] * 50
    with pytest.raises(ModelFetchFailed, match=r"graph\.onnx failed"):
        _download(server, tmp_path)
    assert len(server.requests) < 10


@pytest.mark.parametrize("honours", [True, False])
def test_a_changed_file_is_not_glued_to_the_old_part(server: FileServer, tmp_path: Path, honours: bool) -> None:
    old = bytes(len(CONTENT))
    server.files["/graph.onnx"], server.cuts = old, [100_000]
    with pytest.raises(ModelFetchFailed):
        _broken_off(server, tmp_path)
    server.files["/graph.onnx"], server.etag, server.honours_if_range = CONTENT, '"two"', honours
    assert _download(server, tmp_path) == CONTENT


def test_a_file_that_changes_during_the_download_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    server.files["/graph.onnx"], server.cuts, server.etag = bytes(len(CONTENT)), [100_000], ""

    def change(_file: str, _done: int, _total: int) -> None:
        server.files["/graph.onnx"] = CONTENT

    assert _download(server, tmp_path, progress=change) == CONTENT
    assert [wanted for _, wanted in server.requests][-1] == "", "the last download starts at the first byte"


def test_a_part_of_another_url_is_not_used(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx.part").write_bytes(b"x" * 1000)
    (tmp_path / "graph.onnx.part.json").write_text('{"url": "http://elsewhere/graph.onnx", "validator": ""}')
    assert _download(server, tmp_path) == CONTENT
    assert server.requests == [("/graph.onnx", "")]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 3}'])
def test_a_part_without_a_readable_note_is_dropped(server: FileServer, tmp_path: Path, note: str) -> None:
    (tmp_path / "graph.onnx.part").write_bytes(b"x" * 1000)
    (tmp_path / "graph.onnx.part.json").write_text(note)
    assert _download(server, tmp_path) == CONTENT


def test_a_whole_part_is_only_verified(server: FileServer, tmp_path: Path) -> None:
    url = mirror_url(server.url, "graph.onnx")
    (tmp_path / "graph.onnx.part").write_bytes(CONTENT)
    (tmp_path / "graph.onnx.part.json").write_text(f'{{"url": "{url}", "validator": ""}}')
    assert _download(server, tmp_path) == CONTENT
    assert server.requests == []


def test_a_part_that_is_too_long_is_dropped(server: FileServer, tmp_path: Path) -> None:
    url = mirror_url(server.url, "graph.onnx")
    (tmp_path / "graph.onnx.part").write_bytes(CONTENT + b"more")
    (tmp_path / "graph.onnx.part.json").write_text(f'{{"url": "{url}", "validator": ""}}')
    assert _download(server, tmp_path) == CONTENT


def test_server_errors_are_retried(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [500, 503]
    assert _download(server, tmp_path) == CONTENT


def test_server_errors_without_end_are_named(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [502] * 20
    with pytest.raises(ModelFetchFailed, match="502") as raised:
        _download(server, tmp_path)
    assert len(server.requests) == QUICK.attempts
    assert "--mirror" in raised.value.hint


def test_a_missing_file_is_not_retried(server: FileServer, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(ModelFetchFailed, match="404"):
        _download(server, tmp_path)
    assert len(server.requests) == 1


def test_redirects_are_followed(server: FileServer, tmp_path: Path) -> None:
    server.files["/real"] = server.files.pop("/graph.onnx")
    server.redirects["/graph.onnx"] = "/real"
    server.cuts = [100_000]
    assert _download(server, tmp_path) == CONTENT


def test_endless_redirects_are_named(server: FileServer, tmp_path: Path) -> None:
    server.redirects["/graph.onnx"] = "/graph.onnx"
    with pytest.raises(ModelFetchFailed, match="redirects"):
        _download(server, tmp_path)


def test_wrong_bytes_of_the_right_size_are_refused(server: FileServer, tmp_path: Path) -> None:
    server.files["/graph.onnx"] = bytes(len(CONTENT))
    with pytest.raises(ModelChecksumMismatch, match="another sha256"):
        _download(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_refused_before_it_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    server.files["/graph.onnx"] = CONTENT + b"more"
    steps: list[object] = []
    with pytest.raises(ModelChecksumMismatch, match="300004 bytes"):
        _download(server, tmp_path, progress=lambda *step: steps.append(step))
    assert steps == []
    assert list(tmp_path.iterdir()) == []


def test_a_body_without_length_stops_at_the_expected_size(server: FileServer, tmp_path: Path) -> None:
    server.files["/graph.onnx"] = CONTENT * 20
    server.lengths = False
    with pytest.raises(ModelChecksumMismatch, match="more than 300000 bytes"):
        _download(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_body_without_length_is_accepted(server: FileServer, tmp_path: Path) -> None:
    server.lengths, server.etag = False, ""
    assert _download(server, tmp_path) == CONTENT


def test_a_slow_server_is_waited_for(server: FileServer, tmp_path: Path) -> None:
    server.chunk_bytes, server.pause_s = 30_000, 0.03
    assert _download(server, tmp_path) == CONTENT
    assert len(server.requests) == 1


def test_a_silent_server_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.pause_s = 1.0
    hasty = FetchOptions(attempts=2, connect_timeout_s=1, read_timeout_s=0.1, first_wait_s=0.01, longest_wait_s=0.02)
    with pytest.raises(ModelFetchFailed, match="timed out"):
        download(f"{server.url}/graph.onnx", tmp_path / "graph.onnx", FILE, Fetching(options=hasty))


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    with FileServer({}).running() as closed:
        url = closed.url
    with pytest.raises(ModelFetchFailed, match="refused"):
        download(f"{url}/graph.onnx", tmp_path / "graph.onnx", FILE, Fetching(options=QUICK))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/graph.onnx", "graph.onnx", "http:///graph.onnx"])
def test_only_http_urls_are_opened(url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFetchFailed, match="URL"):
        download(url, tmp_path / "graph.onnx", FILE, Fetching(options=QUICK))


def test_no_room_on_the_disk_is_said_before_the_download(server: FileServer, tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    huge = ModelFile("graph.onnx", free, FILE.sha256)
    with pytest.raises(ModelFetchFailed, match="No room") as raised:
        download(f"{server.url}/graph.onnx", tmp_path / "graph.onnx", huge, Fetching(options=QUICK))
    assert "STASH_SENSE_MODELS_DIR" in raised.value.hint
    assert server.requests == []


def test_a_file_in_place_stays_until_the_new_one_is_verified(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"old")
    server.files["/graph.onnx"] = bytes(len(CONTENT))
    with pytest.raises(ModelChecksumMismatch):
        _download(server, tmp_path)
    assert (tmp_path / "graph.onnx").read_bytes() == b"old"


def test_mirror_urls_keep_names_whole() -> None:
    assert mirror_url("https://host/models/", "a b.onnx") == "https://host/models/a%20b.onnx"
    assert mirror_url("https://host/models", "a.onnx") == "https://host/models/a.onnx"
