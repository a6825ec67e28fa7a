"""Swapping versions while pictures are being identified: nothing fails, and no answer mixes two versions."""

from __future__ import annotations

import time

import httpx

from tests.bench.swap import DOMAINS, put_as, smallest_photos
from tests.bench.swap_load import load, mixed
from tests.serve_app.conftest import Serving

RATE_PER_S = 5.0
SECONDS = 8.0


def test_no_answer_fails_or_mixes_versions_while_they_are_swapped(server: Serving, client: httpx.Client):
    database = server.database
    first = database.current()
    assert first is not None
    performers, faces = database.performers(), database.faces().drop_columns(["origin"])
    versions = [put_as(database, domain, performers, faces, 500) for domain in DOMAINS]
    try:
        client.post("/database/use", json={"version": versions[1]})
        with load(server.url, server.key, smallest_photos(4), RATE_PER_S, SECONDS) as seen:
            for version in (*versions, *versions):
                time.sleep(SECONDS / 6)
                used = client.post("/database/use", json={"version": version})
                assert used.json()["version"] == version, used.text
    finally:
        client.post("/database/use", json={"version": first})
    assert len(seen.answers) == RATE_PER_S * SECONDS
    assert {answer.status for answer in seen.answers} == {200}
    assert {answer.version for answer in seen.answers} == set(versions)
    assert all(answer.ids for answer in seen.answers), "everybody in the photos is enrolled"
    version_of = dict(zip(DOMAINS, versions, strict=True))
    assert mixed(seen.answers, version_of) == []
    swapped = {domain: versions[1 - number] for number, domain in enumerate(DOMAINS)}
    assert len(mixed(seen.answers, swapped)) == len(seen.answers), "a mix would be noticed"
