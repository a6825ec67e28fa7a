"""Health, key, errors and limits of the real server."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from serve_app.sockets import exposed, listeners
from tests.serve_app.conftest import LIMITS, Serving

ERROR_KEYS = {"error", "message", "hint"}


def assert_error(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == ERROR_KEYS
    assert body["error"] == code
    assert body["message"]
    return body


def test_without_a_database_only_identification_is_unavailable(server: Serving) -> None:
    answers = server.before_enrolment
    assert answers["health"].status_code == 200
    assert answers["health"].json()["status"] == "no performer database"
    assert answers["ready"].status_code == 503
    assert answers["ready"].json() == {"ready": False, "engine": True, "database": False}
    assert answers["capabilities"].json()["capabilities"] == {"identification": False}
    for name in ("identify", "info"):
        body = assert_error(answers[name], 503, "database_missing")
        assert "enroll folder" in body["hint"]
        assert int(answers[name].headers["Retry-After"]) > 0


def test_health_needs_no_key_and_ready_says_so(server: Serving, client: httpx.Client) -> None:
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    assert client.get("/ready").json() == {"ready": True, "engine": True, "database": True}


@pytest.mark.parametrize("headers", [{}, {"ApiKey": "wrong"}, {"Authorization": "Bearer wrong"}, {"ApiKey": ""}])
@pytest.mark.parametrize("route", ["/ready", "/capabilities", "/database/info", "/models/status", "/nowhere"])
def test_routes_ask_for_the_key(server: Serving, route: str, headers: dict[str, str]) -> None:
    response = httpx.get(server.url + route, headers=headers)
    assert_error(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", ["/identify", "/identify/image", "/identify/gallery", "/identify/scene"])
def test_identify_routes_ask_for_the_key(server: Serving, route: str) -> None:
    assert_error(httpx.post(server.url + route, json={"path": "/etc/passwd"}), 401, "unauthorized")


def test_key_may_come_as_a_bearer_token(server: Serving) -> None:
    answer = httpx.get(f"{server.url}/database/info", headers={"Authorization": f"Bearer {server.key}"})
    assert answer.status_code == 200


def test_key_file_is_private_and_the_key_is_in_no_log(server: Serving) -> None:
    assert stat.S_IMODE((server.data_dir / "api-key").stat().st_mode) == 0o600
    logs = [path for path in (server.data_dir / "logs").rglob("*") if path.is_file()]
    assert logs
    assert not [
        path for path in [*logs, server.data_dir / "server.log"] if server.key in path.read_text("utf-8", "replace")
    ]
    assert not [p for p in server.tree() if server.key in " ".join(p.cmdline())]


def test_docs_describe_the_routes(server: Serving) -> None:
    assert "swagger" in httpx.get(f"{server.url}/docs").text.lower()
    assert "/identify/scene" in httpx.get(f"{server.url}/openapi.json").json()["paths"]


def test_every_listener_of_the_process_tree_is_on_loopback(server: Serving) -> None:
    found = listeners(server.tree())
    assert any(s.process == "raylet" for s in found)
    assert any(s.process == "gcs_server" for s in found)
    assert any("ServeReplica" in s.process for s in found)
    assert [s for s in found if s.port == httpx.URL(server.url).port]
    assert exposed(server.tree()) == []


def test_unknown_route_and_method(client: httpx.Client) -> None:
    assert_error(client.get("/nowhere"), 404, "not_found")
    assert_error(client.get("/identify"), 405, "method_not_allowed")


def test_no_cors_unless_configured(server: Serving, client: httpx.Client) -> None:
    answer = client.get("/ready", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    preflight = httpx.options(
        f"{server.url}/ready", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    )
    assert preflight.status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"path": "/a", "url": "http://a"}, "body"),
        ({"path": "/a", "top_k": 0}, "top_k"),
        ({"path": "/a", "max_distance": 3}, "max_distance"),
        ({"path": "/a", "frames": 2}, "frames"),
        ({"path": "/a", "start_fraction": 0.7}, "start_fraction"),
        ({"path": "/a", "tagged": ["nonsense"]}, "tagged.0"),
        ({"path": "/a", "unknown": 1}, "unknown"),
        ([], "body"),
    ],
)
def test_invalid_requests_name_the_field(client: httpx.Client, body: object, field: str) -> None:
    error = assert_error(client.post("/identify/scene", json=body), 422, "bad_input")
    assert field in error["hint"]


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", b"{", 422, "bad_input"),
        ("text/plain", b"x", 415, "unsupported_type"),
        ("", b"", 415, "unsupported_type"),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense", 422, "bad_input"),
        ("multipart/form-data", b"x", 422, "bad_input"),
    ],
)
def test_bodies_that_are_no_request(client: httpx.Client, kind: str, body: bytes, status: int, code: str) -> None:
    assert_error(client.post("/identify", content=body, headers={"Content-Type": kind}), status, code)


def test_forms_with_wrong_fields_or_files(client: httpx.Client) -> None:
    wrong = client.post("/identify/image", files={"file": b"x"}, data={"top_k": "many"})
    assert "top_k" in assert_error(wrong, 422, "bad_input")["hint"]
    assert_error(client.post("/identify/image", files=[("a", b"1"), ("b", b"2")]), 422, "bad_input")
    assert_error(client.post("/identify/gallery", files={"x": ("", b"")}), 422, "bad_input")


def test_body_limit_with_a_stated_length(client: httpx.Client) -> None:
    too_much = bytes(int(LIMITS["MAX_BODY_MB"]) * 1_000_000 + 1)
    error = assert_error(
        client.post("/identify/image", content=too_much, headers={"Content-Type": "image/jpeg"}), 413, "limit_exceeded"
    )
    assert "4 MB" in error["message"]


def test_body_limit_while_streaming(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(100_000)

    response = client.post("/identify/image", content=endless(), headers={"Content-Type": "image/jpeg"})
    assert_error(response, 413, "limit_exceeded")


def test_pixel_limit_is_checked_before_decoding(client: httpx.Client) -> None:
    file = io.BytesIO()
    Image.new("L", (6000, 5000)).save(file, "PNG")
    assert len(file.getvalue()) < 1_000_000
    error = assert_error(client.post("/identify/image", files={"file": file.getvalue()}), 413, "limit_exceeded")
    assert "30 megapixels" in error["message"]


def test_gallery_limit(client: httpx.Client, data: Path) -> None:
    paths = [str(data / "faces/people/signer_a/01.jpg")] * 5
    assert_error(client.post("/identify/gallery", json={"paths": paths}), 413, "limit_exceeded")
    assert_error(client.post("/identify/gallery", files=[("files", b"x")] * 5), 413, "limit_exceeded")
    assert_error(client.post("/identify/gallery", json={"paths": []}), 422, "bad_input")


def test_models_status(client: httpx.Client) -> None:
    status = client.get("/models/status").json()
    assert status["pack"] == "open"
    assert {m["state"] for m in status["models"] if m["pack"] == "open"} == {"installed"}


def test_database_info_and_capabilities(server: Serving, client: httpx.Client) -> None:
    info = client.get("/database/info").json()
    assert info["version"] == server.database.current()
    assert info["performer_count"] == 17
    capabilities = client.get("/capabilities").json()
    assert capabilities["capabilities"] == {"identification": True}
    assert capabilities["limits"]["max_body_mb"] == 4
    assert capabilities["threshold"]["score"] == info["threshold_score"]
    assert capabilities["threshold"]["provenance"]
