"""Pictures of a stash-box: what is fetched, from where, how often, and what is refused."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import LimitExceeded, MediaNotFound, MediaUnreachable, UrlNotAllowed
from pipelines.stash.limiter import RateLimiter
from pipelines.stash.stashbox_images import ImageFetcher
from tests.fakes.stashbox import FakeStashBox, Picture, sample_world


@pytest.fixture
def box(data: Path) -> Iterator[FakeStashBox]:
    with FakeStashBox(sample_world(data)) as box:
        yield box


@pytest.fixture
def picture(box: FakeStashBox) -> Picture:
    return box.world.named("barack_obama").images[0]


def fetcher(endpoint: str, **given: Any) -> ImageFetcher:
    given = {"limiter": RateLimiter(1e6), "waits_s": (0.01, 0.01), "pause_s": 0.1, **given}
    return ImageFetcher(endpoint, **given)


def address(box: FakeStashBox, picture: Picture) -> str:
    return f"{box.url}/images/{picture.id}"


def test_a_picture_comes_as_it_is_and_without_the_key(box, picture):
    assert fetcher(box.endpoint).fetch(address(box, picture)) == picture.path.read_bytes()
    assert box.requests[0].keyed == ""


@pytest.mark.parametrize(
    "url",
    [
        "ftp://stashdb.org/a.jpg",
        "file:///etc/passwd",
        "//stashdb.org/a.jpg",
        "http://user:pass@stashdb.org/a.jpg",
        "http://[::1/a.jpg",
        "http://127.0.0.1:1/a.jpg",
        "http://localhost/a.jpg",
        "http://10.0.0.1/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/a.jpg",
        "http://[::ffff:127.0.0.1]/a.jpg",
        "http://0.0.0.0/a.jpg",
        "http://2130706433/a.jpg",
        "http://stashdb.org:99999/a.jpg",
    ],
)
def test_addresses_that_are_never_fetched(box, url):
    with pytest.raises(UrlNotAllowed):
        fetcher(box.endpoint).fetch(url)
    assert not len(box.requests)


def test_a_name_that_leads_to_a_private_address_is_refused(box, picture, monkeypatch):
    found = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: found("127.0.0.1" if host == "evil.example" else host, *rest, **more),
    )
    evil = address(box, picture).replace("127.0.0.1", "evil.example")
    with pytest.raises(UrlNotAllowed, match="no public host"):
        fetcher(box.endpoint).fetch(evil)
    port = box.url.rsplit(":", 1)[1]
    for allowed in ("evil.example", f"evil.example:{port}"):
        assert fetcher(box.endpoint, allowed_hosts=[allowed]).fetch(evil) == picture.path.read_bytes()
    with pytest.raises(UrlNotAllowed, match="not among"):
        fetcher(box.endpoint, allowed_hosts=["other.example"]).fetch(evil)
    assert fetcher(box.endpoint, allowed_hosts=["other.example"]).fetch(address(box, picture))


def test_the_checked_address_is_the_one_that_is_asked(box, picture, monkeypatch):
    """The name gives another address the second time."""
    port = int(box.url.rsplit(":", 1)[1])
    answers = iter([[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: next(answers))
    images = fetcher("http://box.example/graphql", allowed_hosts=["box.example"])
    place = images.place(f"http://box.example:{port}/images/{picture.id}?size=full")
    assert place.url == f"{box.url}/images/{picture.id}?size=full"
    assert place.host_header == f"box.example:{port}"


def test_redirects_are_followed_as_far_as_they_are_allowed(box, picture):
    other = box.world.named("joe_biden").images[0]
    picture.broken = address(box, other)
    assert fetcher(box.endpoint).fetch(address(box, picture)) == other.path.read_bytes()
    picture.broken = "http://localhost/secret"
    with pytest.raises(UrlNotAllowed, match="localhost"):
        fetcher(box.endpoint).fetch(address(box, picture))
    picture.broken = address(box, picture)
    with pytest.raises(UrlNotAllowed, match="too often"):
        fetcher(box.endpoint).fetch(address(box, picture))


def test_what_is_not_there_or_too_large(box, picture):
    picture.broken = "missing"
    with pytest.raises(MediaNotFound, match="404"):
        fetcher(box.endpoint).fetch(address(box, picture))
    assert len(box.requests) == 1
    picture.broken = ""
    with pytest.raises(LimitExceeded):
        fetcher(box.endpoint, most_bytes=1000).fetch(address(box, picture))


def test_faults_that_pass_and_faults_that_do_not(box, picture):
    images = fetcher(box.endpoint)
    box.knobs.fail_next(2, 503)
    assert images.fetch(address(box, picture))
    box.knobs.fail_next(2, 0)
    assert images.fetch(address(box, picture))
    box.knobs.fail_next(9, 503)
    with pytest.raises(MediaUnreachable, match="503"):
        images.fetch(address(box, picture))
    with box.down(), pytest.raises(MediaUnreachable, match=re.escape("127.0.0.1")):
        images.fetch(address(box, picture))


@pytest.mark.parametrize(("header", "least_s"), [("0.6", 0.6), ("", 0.4)])
def test_too_often_makes_everybody_wait(box, picture, header, least_s):
    limiter = RateLimiter(1e6)
    box.knobs.retry_after = header
    box.knobs.fail_next(1, 429)
    began = time.monotonic()
    assert fetcher(box.endpoint, limiter=limiter, pause_s=0.4).fetch(address(box, picture))
    assert time.monotonic() - began >= least_s
    limiter.pause(0.3)
    began = time.monotonic()
    assert fetcher(box.endpoint, limiter=limiter).fetch(address(box, picture))
    assert time.monotonic() - began >= 0.3
