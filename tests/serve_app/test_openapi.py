"""The checked-in OpenAPI document is what the app says of itself.

`python -m tests.serve_app.test_openapi` renews it."""

from __future__ import annotations

import json
from pathlib import Path

import serve_app
from serve_app.api import create_api

DOCUMENT = Path(serve_app.__file__).parent / "openapi.json"


def described() -> str:
    return json.dumps(create_api().openapi(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def test_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == described()


def test_every_identify_route_describes_its_request_and_answer() -> None:
    paths = create_api().openapi()["paths"]
    for path in ("/identify", "/identify/image", "/identify/gallery", "/identify/scene"):
        operation = paths[path]["post"]
        assert {"application/json", "multipart/form-data"} <= set(operation["requestBody"]["content"])
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("Identification")
        assert {"401", "403", "413", "415", "422", "503"} <= set(operation["responses"])
    assert paths["/health"]["get"]["security"] == []


if __name__ == "__main__":
    DOCUMENT.write_text(described(), encoding="utf-8")
