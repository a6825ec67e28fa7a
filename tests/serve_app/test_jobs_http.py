"""The queue over HTTP, on the real server: types, submission, conflicts, schedules, events, a job that really runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.jobs import REGISTRY
from tests.serve_app.conftest import Serving, until
from tests.serve_app.test_http_basics import assert_error

SUPERVISED_S = 120
UNKNOWN_ID = 999_999_999


@pytest.fixture
def queue(client: httpx.Client) -> Iterator[httpx.Client]:
    """A client, with an empty queue and history before and after."""
    empty(client)
    yield client
    empty(client)


def empty(client: httpx.Client) -> None:
    def ended() -> bool:
        live = client.get("/queue/status").json()["jobs"]
        for job in live:
            client.post(f"/queue/{job['id']}/{'cancel' if job['state'] == 'queued' else 'stop'}")
        return not live

    until(ended, SUPERVISED_S, "an empty queue")
    client.delete("/queue/history")


def submit(queue: httpx.Client, type_id: str = "scan", **more: object) -> dict[str, Any]:
    response = queue.post("/queue", json={"type": type_id, **more})
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


@pytest.mark.parametrize("path", ["", "/status", "/types", "/schedules", "/events", "/1"])
def test_the_key_is_wanted(server: Serving, path: str) -> None:
    assert_error(httpx.get(f"{server.url}/queue{path}"), 401, "unauthorized")


def test_types_say_what_they_take(queue: httpx.Client) -> None:
    types = {kind["id"]: kind for kind in queue.get("/queue/types").json()["types"]}
    assert set(types) == set(REGISTRY)
    assert "newest_first" in types["scan"]["params"]["properties"]
    assert {"hours": 24, "label": "every day"} in types["scan"]["intervals"]
    assert types["scan"]["workers"] == {"CPU": 1}


def test_a_job_in_the_queue(queue: httpx.Client) -> None:
    job = submit(queue, params={"ids": ["1"]}, priority=100)
    assert (job["state"], job["params"], job["priority"], job["done"]) == ("queued", {"ids": ["1"]}, 100, 0)
    assert_error(queue.post("/queue", json={"type": "scan"}), 409, "job_conflict")
    assert_error(queue.post(f"/queue/{job['id']}/retry"), 409, "job_conflict")
    assert queue.post(f"/queue/{job['id']}/cancel").json()["state"] == "cancelled"
    assert_error(queue.post(f"/queue/{job['id']}/stop"), 409, "job_conflict")
    again = queue.post(f"/queue/{job['id']}/retry")
    assert again.status_code == 201
    assert (again.json()["retry_of"], again.json()["params"]) == (job["id"], {"ids": ["1"]})
    assert queue.delete(f"/queue/{again.json()['id']}").json()["state"] == "cancelled"
    assert [j["id"] for j in queue.get("/queue").json()["jobs"]] == [again.json()["id"], job["id"]]
    assert [j["id"] for j in queue.get("/queue", params={"limit": 1}).json()["jobs"]] == [again.json()["id"]]
    assert queue.get("/queue", params={"type": "rematch"}).json() == {"jobs": []}
    assert queue.get("/queue", params={"state": ["queued", "running"]}).json() == {"jobs": []}
    assert queue.delete("/queue/history", params={"type": "rematch"}).json() == {"removed": 0}
    assert queue.delete("/queue/history").json() == {"removed": 2}
    assert_error(queue.get(f"/queue/{job['id']}"), 404, "job_unknown")


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"type": "nonsense"}, 404, "job_unknown", "nonsense"),
        ({"type": "scan", "params": {"limit": 0}}, 422, "bad_input", "params.limit"),
        ({"type": "scan", "params": {"nonsense": 1}}, 422, "bad_input", "params.nonsense"),
        ({"type": "compact_scans", "params": {"a": 1}}, 422, "bad_input", "params.a"),
        ({"type": "scan", "priority": 7}, 422, "bad_input", "priority"),
        ({"type": "scan", "cursor": 7}, 422, "bad_input", "cursor"),
        ({}, 422, "bad_input", "type"),
    ],
)
def test_what_cannot_be_submitted(
    queue: httpx.Client, body: dict[str, object], status: int, code: str, said: str
) -> None:
    assert said in assert_error(queue.post("/queue", json=body), status, code)["message"]
    assert queue.get("/queue").json() == {"jobs": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/cancel"), ("POST", "/retry")],
)
def test_unknown_jobs(queue: httpx.Client, method: str, path: str) -> None:
    assert_error(queue.request(method, f"/queue/{UNKNOWN_ID}{path}"), 404, "job_unknown")
    assert_error(queue.request(method, f"/queue/{10**30}{path}"), 422, "bad_input")


def test_schedules_are_checked_against_their_presets(queue: httpx.Client) -> None:
    def schedule() -> dict[str, Any]:
        found = queue.get("/queue/schedules").json()["schedules"]
        return next(s for s in found if s["type"] == "compact_scans")

    assert (schedule()["enabled"], schedule()["interval_hours"], schedule()["next_run_at"]) == (False, 168, None)
    changed = queue.put("/queue/schedules/compact_scans", json={"enabled": True, "interval_hours": 24}).json()
    assert changed == schedule()
    assert (changed["enabled"], changed["interval_hours"]) == (True, 24)
    assert changed["next_run_at"]
    wrong = queue.put("/queue/schedules/compact_scans", json={"enabled": True, "interval_hours": 25})
    assert "24, 72, 168" in assert_error(wrong, 422, "bad_input")["hint"]
    assert_error(queue.put("/queue/schedules/nonsense", json={"enabled": True}), 404, "job_unknown")
    assert_error(queue.put("/queue/schedules/compact_scans", json={}), 422, "bad_input")
    assert queue.put("/queue/schedules/compact_scans", json={"enabled": False}).json()["next_run_at"] is None


def events(queue: httpx.Client, count: int, **how: Any) -> list[tuple[int, str, dict[str, Any]]]:
    """Returns id, kind and data of the next events of the stream."""
    found: list[tuple[int, str, dict[str, Any]]] = []
    with queue.stream("GET", "/queue/events", **how) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "event" in fields:
                found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
                fields = {}
            if len(found) == count:
                break
    return found


def test_events_go_on_where_a_listener_was(queue: httpx.Client) -> None:
    ((position, kind, _),) = events(queue, 1, params={"after": 2**62})
    assert kind == "reset"
    job = submit(queue)
    cancelled = queue.post(f"/queue/{job['id']}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    first, second = events(queue, 2, headers={"Last-Event-ID": str(position)})
    assert (first[1], first[2]["job_id"], first[2]["job"]["state"]) == ("submitted", job["id"], "queued")
    assert events(queue, 1, params={"after": first[0]}) == [second]
    assert_error(queue.get("/queue/events", headers={"Last-Event-ID": "nonsense"}), 422, "bad_input")


def test_a_job_really_runs(queue: httpx.Client) -> None:
    until(lambda: queue.get("/queue/status").json()["supervising"], SUPERVISED_S, "the supervisor")
    tidy, scan = submit(queue, "compact_scans"), submit(queue, "scan")

    def ended(job: dict[str, Any]) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            now: dict[str, Any] = queue.get(f"/queue/{job['id']}").json()
            return now if now["state"] in {"done", "failed"} else None

        return until(reached, SUPERVISED_S, f"the end of {queue.get('/queue/status').text}")

    assert ended(tidy)["state"] == "done", ended(tidy)
    scanned = ended(scan)
    assert (scanned["state"], scanned["attempts"], scanned["error_code"]) == ("done", 1, None), scanned
    assert scanned["result"]
    assert queue.get("/queue/status").json() | {"jobs": []} == {
        "supervising": True, "queued": 0, "running": 0, "stopping": 0, "jobs": []
    }  # fmt: skip
