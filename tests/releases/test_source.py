"""Servers of releases: both shapes are read alike, refusals are named, nonsense is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from pipelines.errors import ReleaseUnknown, ReleaseUnreachable
from pipelines.releases.source import Release, ReleaseSource, list_releases, parse_sources, source_named, version_key
from pipelines.settings import Settings
from tests.fakes.releases import ReleaseServer, release_server


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with release_server(signed=True) as served:
        served.publish("2026.02.18", {"data.zip": b"one"}, notes="First.\nmin-sidecar-version: 1.4.0")
        served.publish("2026.10.1", {"data.zip": b"two", "aliases.json": b"{}"})
        yield served


def listed(url: str) -> list[Release]:
    return list_releases(ReleaseSource("some", url), wait_s=0.01)


def test_both_shapes_say_the_same(server: ReleaseServer):
    by_document, by_github = listed(server.document_url), listed(server.github_url)
    assert [r.version for r in by_document] == ["2026.10.1", "2026.02.18"]
    for one, other in zip(by_document, by_github, strict=True):
        assert one.version == other.version
        assert one.created == other.created
        assert one.needs == other.needs
        files = {f.name: (f.url, f.size_bytes, f.sha256, f.signature_url) for f in one.files}
        assert files.items() <= {f.name: (f.url, f.size_bytes, f.sha256, f.signature_url) for f in other.files}.items()
        assert all(f.sha256 and f.signature_url and f.url.startswith(server.http.url) for f in one.files)
    assert by_document[1].needs == "1.4.0"
    assert by_document[0].needs is None


def test_one_release_of_github_is_read_as_well(server: ReleaseServer):
    assert [r.version for r in listed(f"{server.github_url}/latest")] == ["2026.10.1"]


def test_drafts_previews_and_other_tags_of_github_are_passed_over(server: ReleaseServer):
    server.publish("2026.11.1", {"data.zip": b"three"})
    server.publish("2026.11.2", {"data.zip": b"four"})
    server.publish("2026.11.3", {"data.zip": b"five"})
    for entry, change in zip(
        server.github, ({"tag_name": "models"}, {"draft": True}, {"prerelease": True}), strict=False
    ):
        entry.update(change)
    server._write()
    assert [r.version for r in listed(server.github_url)] == ["2026.10.1", "2026.02.18"]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("{0}  data.zip", True),
        ("- `data.zip`: sha256:{0}", True),
        ("{0}  other-data.zip", False),
        ("{0}  data.zip.minisig", False),
        ("{0} {0} data.zip", False),
        ("{0}0  data.zip", False),
    ],
)
def test_checksums_in_notes_count_for_the_file_that_the_line_names(server: ReleaseServer, line: str, known: bool):
    server.github[0]["body"] = line.format("ab" * 32)
    server._write()
    file = listed(server.github_url)[0].files[0]
    assert (file.name, file.sha256) == ("data.zip", "ab" * 32 if known else None)


def test_the_digest_of_an_asset_comes_before_the_notes(server: ReleaseServer):
    server.github[0]["assets"][0]["digest"] = "sha256:" + "cd" * 32
    server._write()
    assert listed(server.github_url)[0].files[0].sha256 == "cd" * 32


def test_a_used_up_limit_says_when_to_try_again(server: ReleaseServer):
    reset = int(time.time()) + 3600
    server.http.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    server.http.statuses = [403]
    with pytest.raises(ReleaseUnreachable, match="no more requests") as raised:
        listed(server.github_url)
    assert time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(reset)) in raised.value.hint
    server.http.headers, server.http.statuses = {"Retry-After": "60"}, [429]
    with pytest.raises(ReleaseUnreachable, match="no more requests"):
        listed(server.github_url)
    assert len(server.http.requests) == 2, "a limit is not tried against"


def test_a_refusal_is_no_limit(server: ReleaseServer):
    server.http.statuses = [403]
    with pytest.raises(ReleaseUnreachable, match="answered 403"):
        listed(server.github_url)


def test_server_errors_are_tried_again_then_named(server: ReleaseServer):
    server.http.statuses = [502, 503]
    assert len(listed(server.document_url)) == 2
    server.http.statuses = [502] * 9
    with pytest.raises(ReleaseUnreachable, match="502"):
        listed(server.document_url)
    with pytest.raises(ReleaseUnreachable, match="cannot be asked"):
        listed("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b"[1]",
        b'{"releases": 3}',
        b'{"releases": [{"version": "../../x"}]}',
        b'{"releases": [{"version": "1", "files": [{"name": "../a.zip", "url": "a.zip"}]}]}',
        b'{"releases": [{"version": "1", "files": [{"name": "a.zip", "url": "a.zip", "sha256": "short"}]}]}',
        b'{"releases": [{"version": "1", "files": [{"name": "a.zip", "url": "a.zip", "size": -1}]}]}',
        b"[" * 100_000,
        b" " * (33 << 20),
    ],
    ids=["html", "empty", "numbers", "number", "version", "name", "digest", "size", "deep", "endless"],
)
def test_what_is_no_list_of_releases_is_refused(server: ReleaseServer, body: bytes):
    server.http.files["/data/releases.json"] = body
    with pytest.raises(ReleaseUnreachable):
        listed(server.document_url)


def test_urls_of_repositories_become_those_of_the_api():
    for url in ("https://github.com/o/n", "https://github.com/o/n.git", "https://github.com/o/n/releases/"):
        assert ReleaseSource("a", url).asked_url == "https://api.github.com/repos/o/n/releases?per_page=100"
    assert ReleaseSource("a", "https://h/x.json").asked_url == "https://h/x.json"


def test_sources_are_named_in_the_settings():
    rules = ("mine=https://host/a/?b=c", "other=http://host:8/x.json")
    assert parse_sources(rules)["mine"] == ReleaseSource("mine", "https://host/a/?b=c")
    with pytest.raises(ReleaseUnknown, match="nobody") as raised:
        source_named(rules, "nobody")
    assert "mine, other" in raised.value.hint
    for wrong in ("https://host/", "Mine=https://host/", "a/b=https://host/", "a=ftp://host/", "a=https://"):
        with pytest.raises(ValidationError):
            Settings(release_sources=(wrong,))


def test_versions_are_ordered_by_their_numbers():
    mixed = ["2026.10.1", "2026.2.18", "2026.10.1.1", "2025.12.31", "2026.02.19"]
    ordered = ["2025.12.31", "2026.2.18", "2026.02.19", "2026.10.1", "2026.10.1.1"]
    assert sorted(mixed, key=version_key) == ordered


def test_the_document_is_plain_json(server: ReleaseServer):
    document = json.loads(server.http.files["/data/releases.json"])
    assert set(document["releases"][0]) == {"version", "created", "notes", "files"}
