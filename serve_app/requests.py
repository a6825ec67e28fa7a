"""Requests read into what they name and a question, whichever of three forms they come in:

- JSON: an id of Stash, `path` or `url`, and the question beside it;
- multipart: the file as `file` (several of them, or `files`, for a gallery), the question as form fields;
- the bytes of the file as the body, with its image/* or video/* type; the question in the query string.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import JSONDecodeError
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, ImmutableMultiDict, UploadFile
from starlette.exceptions import HTTPException

from pipelines.errors import InputError, LimitExceeded
from pipelines.settings import Settings
from serve_app.schemas import FileRequest, GalleryRequest, ImageRequest, Question, SceneQuestion, SceneRequest
from serve_app.sources import Asked, StashName, Upload, UrlName, allowed_path

Q = TypeVar("Q", bound=BaseModel)

RAW_TYPES = ("image/", "video/", "application/octet-stream")
MAX_FIELD_BYTES = 64 * 1024
LISTS = {"tagged", "paths", "urls"}
"""Fields that may be repeated; of all others the last one counts."""


async def read_file(request: Request, settings: Settings) -> tuple[Asked, SceneQuestion]:
    """Returns a picture or a video and what is asked about it. Raises InputError leaves, RequestValidationError."""
    return await _read_one(request, settings, FileRequest, SceneQuestion)


async def read_picture(request: Request, settings: Settings) -> tuple[Asked, Question]:
    """Returns one picture and what is asked about it. Raises like `read_file`."""
    return await _read_one(request, settings, ImageRequest, Question)


async def read_scene(request: Request, settings: Settings) -> tuple[Asked, SceneQuestion]:
    """Returns one video and what is asked about it. Raises like `read_file`."""
    return await _read_one(request, settings, SceneRequest, SceneQuestion)


async def read_gallery(request: Request, settings: Settings) -> tuple[list[Asked] | StashName, Question]:
    """Returns the pictures in order, or a gallery, and what is asked about them. Raises like `read_file`."""
    most = settings.max_gallery_images
    kind = content_type(request)
    sources: list[Asked]
    if kind == "multipart/form-data":
        async with request.form(max_files=most + 1, max_fields=600, max_part_size=MAX_FIELD_BYTES) as form:
            check_count(len(_files(form)), most)
            question = parse(Question, _fields(form))
            sources = [Upload(await file.read(), file.filename or "") for file in _files(form)]
        if not sources:
            raise InputError("The form holds no file.", "Send the pictures as `files`.")
    else:
        asked = parse(GalleryRequest, await _json(request, kind))
        question = Question(**asked.model_dump(include=set(Question.model_fields)))
        if asked.gallery_id is not None:
            return StashName("gallery", asked.gallery_id), question
        check_count(len(asked.paths) + len(asked.urls), most)
        sources = [allowed_path(path, settings) for path in asked.paths]
        sources += [UrlName(url) for url in asked.urls]
    return sources, question


def check_count(count: int, most: int) -> None:
    """Raises LimitExceeded for a gallery of more than `most` pictures."""
    if count > most:
        raise LimitExceeded(f"The gallery has more than {most} pictures.", "Ask about it in parts.")


async def _read_one(
    request: Request, settings: Settings, named: type[FileRequest | ImageRequest | SceneRequest], asked: type[Q]
) -> tuple[Asked, Q]:
    kind = content_type(request)
    if kind.startswith(RAW_TYPES):
        question = parse(asked, _repeated(request.query_params))
        return Upload(await request.body()), question
    if kind == "multipart/form-data":
        async with request.form(max_files=2, max_fields=600, max_part_size=MAX_FIELD_BYTES) as form:
            files = _files(form)
            if len(files) != 1:
                raise InputError(f"The form holds {len(files)} files.", "Send exactly one, as `file`.")
            question = parse(asked, _fields(form))
            return Upload(await files[0].read(), files[0].filename or ""), question
    body = parse(named, await _json(request, kind))
    return _named(body, settings), asked(**body.model_dump(include=set(asked.model_fields)))


def _named(body: FileRequest | ImageRequest | SceneRequest, settings: Settings) -> Asked:
    """Returns what the body names; its validator has made sure that this is one thing."""
    if isinstance(body, SceneRequest) and body.scene_id is not None:
        return StashName("scene", body.scene_id)
    if isinstance(body, ImageRequest) and body.image_id is not None:
        return StashName("image", body.image_id)
    return allowed_path(body.path, settings) if body.path is not None else UrlName(str(body.url))


def content_type(request: Request) -> str:
    """Returns the media type of the body, lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(model: type[Q], values: Any) -> Q:
    """Returns the values as a record. Raises RequestValidationError, which names the fields."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


async def _json(request: Request, kind: str) -> Any:
    if kind != "application/json":
        raise HTTPException(415, f"The content type {kind[:80]!r} is not read here.")
    try:
        return await request.json()
    except (JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("The body is not JSON.", "Send an object with an id of Stash, `path` or `url`.") from error


def _files(form: FormData) -> list[UploadFile]:
    return [value for _, value in form.multi_items() if isinstance(value, UploadFile)]


def _fields(form: FormData) -> dict[str, Any]:
    return _repeated(ImmutableMultiDict((k, v) for k, v in form.multi_items() if not isinstance(v, UploadFile)))


def _repeated(values: ImmutableMultiDict[str, Any]) -> dict[str, Any]:
    return {key: values.getlist(key) if key in LISTS else values[key] for key in values}


def body_schema(named: type[BaseModel], asked: type[BaseModel], *, several: bool = False) -> Mapping[str, Any]:
    """Returns the requestBody of OpenAPI for the forms above; FastAPI cannot tell, as the routes read it themselves."""
    file = {"type": "string", "format": "binary"}
    question = asked.model_json_schema(ref_template="#/components/schemas/{model}")
    files: dict[str, Any] = {"files": {"type": "array", "items": file}} if several else {"file": file}
    content: dict[str, Any] = {
        "application/json": {"schema": named.model_json_schema(ref_template="#/components/schemas/{model}")},
        "multipart/form-data": {
            "schema": {**question, "properties": {**files, **question["properties"]}, "required": [*files]}
        },
    }
    raw: Sequence[str] = () if several else ("image/*", "video/*")
    content |= {kind: {"schema": file} for kind in raw}
    return {"requestBody": {"required": True, "content": content}}
