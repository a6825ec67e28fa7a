"""The details of each type of recommendation, as OpenAPI shows them.

Over HTTP `details` is an object whose shape its `type` decides; the models live with the analyzers. They stand among
the components as `details.<name of the model>`, so that programs can make types of them.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from pipelines.analyzers.registry import ANALYZERS
from serve_app.crops import is_linked

PREFIX = "details."


def details_schemas() -> dict[str, Any]:
    """Returns the JSON schemas of all details by their name among the components, `crop_url` of faces included."""
    models = [(kind.details, "serialization") for kind in ANALYZERS]
    _, found = models_json_schema(models, ref_template=f"#/components/schemas/{PREFIX}{{model}}")  # type: ignore[arg-type]
    return {PREFIX + name: _with_link(schema) for name, schema in found["$defs"].items()}


def _with_link(schema: dict[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    if is_linked(fields):
        link = {"type": "string", "title": "Crop Url", "description": "Path of a JPEG of the face on this server."}
        return {**schema, "properties": {**fields, "crop_url": link}}
    return schema
