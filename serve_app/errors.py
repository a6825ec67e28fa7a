"""Errors at the HTTP edge: one shape, {error, message, hint}, for whatever goes wrong.

Lives here: which error is which status, and the handlers of the FastAPI app. What the errors are is `pipelines.errors`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from starlette.exceptions import HTTPException

from pipelines.errors import (
    ActionConflict,
    ActionUnknown,
    DatabaseError,
    ExportUnknown,
    InputError,
    JobConflict,
    JobUnknown,
    LimitExceeded,
    MediaError,
    MediaNotFound,
    MediaTimeout,
    MediaUnreachable,
    MediaUnsupported,
    ModelError,
    NotWritable,
    Overloaded,
    PackUnknown,
    PathNotAllowed,
    PersonUnknown,
    RecommendationConflict,
    RecommendationUnknown,
    ReleaseCorrupt,
    ReleaseGap,
    ReleaseUnknown,
    ReleaseUnreachable,
    ReleaseUnsupported,
    SettingFixed,
    SettingUnknown,
    SourceUnknown,
    StashError,
    StashNotFound,
    StashSenseError,
    StoreError,
    Unauthorized,
    UrlNotAllowed,
    VersionPinned,
    VersionUnknown,
)

logger = logging.getLogger("ray.serve")

RETRY_AFTER_S = 2
RESTART_RETRY_AFTER_S = 10
"""A replica that died loads its models again: 3 to 8 s (own measurement, 2 cores, 2026-11-22)."""
CLIENT_GONE = 499
"""nginx's status for a client that went away; nobody reads it but the log."""

STATUS: tuple[tuple[type[StashSenseError], int], ...] = (
    (PathNotAllowed, 403),
    (UrlNotAllowed, 403),
    (LimitExceeded, 413),
    (SettingUnknown, 404),
    (SettingFixed, 409),
    (InputError, 422),
    (MediaNotFound, 404),
    (MediaUnsupported, 415),
    (MediaTimeout, 504),
    (MediaUnreachable, 502),
    (MediaError, 422),
    (Unauthorized, 401),
    (Overloaded, 503),
    (PackUnknown, 404),
    (ModelError, 503),
    (VersionUnknown, 404),
    (PersonUnknown, 404),
    (SourceUnknown, 404),
    (ReleaseUnknown, 404),
    (VersionPinned, 409),
    (ReleaseUnreachable, 502),
    (ReleaseCorrupt, 422),
    (ReleaseUnsupported, 422),
    (ReleaseGap, 422),
    (NotWritable, 507),
    (DatabaseError, 503),
    (StoreError, 503),
    (StashNotFound, 404),
    (StashError, 502),
    (JobUnknown, 404),
    (JobConflict, 409),
    (RecommendationUnknown, 404),
    (ExportUnknown, 404),
    (RecommendationConflict, 409),
    (ActionUnknown, 404),
    (ActionConflict, 409),
)
"""First match counts: leaves stand before their branch."""

PLAIN: Mapping[int, tuple[str, str, str]] = {
    404: ("not_found", "There is no such route.", "GET /docs lists the routes."),
    405: ("method_not_allowed", "The route does not know this method.", "GET /docs lists the routes."),
    415: (
        "unsupported_type",
        "The content type is not read here.",
        "Send application/json, multipart/form-data, or the file itself as image/* or video/*.",
    ),
}
"""Errors of the HTTP layer itself, which have no class in the tree."""


def status_of(error: StashSenseError) -> int:
    """Returns the HTTP status of a named error; 500 for one that is not the client's business."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def error_body(code: str, message: str, hint: str = "") -> dict[str, str]:
    """Returns the one error shape."""
    return {"error": code, "message": message, "hint": hint}


def error_response(error: StashSenseError) -> Response:
    """Returns the answer to a named error, with Retry-After where trying again is worth it."""
    status = status_of(error)
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.as_dict(), status, headers)


def named(error: BaseException) -> StashSenseError | None:
    """Returns the named error inside what came out of a deployment call, None when there is none.

    Ray wraps what a replica raises; the original is its `cause`.
    """
    original = getattr(error, "cause", None) or error
    if isinstance(original, StashSenseError):
        return original
    if isinstance(original, BackPressureError):
        return Overloaded("The server has more to do than it can queue.", "Try again a little later.", RETRY_AFTER_S)
    if isinstance(original, RayActorError | DeploymentUnavailableError):
        return Overloaded("A part of the server is starting again.", "Try again shortly.", RESTART_RETRY_AFTER_S)
    return None


def install_error_handlers(api: FastAPI) -> None:
    """Makes every error of the app leave in the one shape."""
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestCancelledError, _gone)
    for kind in (StashSenseError, BackPressureError, DeploymentUnavailableError, RayError, Exception):
        api.add_exception_handler(kind, _failed)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as registered
    return JSONResponse(invalid_body(error.errors()), 422)


def invalid_body(problems: Any) -> dict[str, str]:
    """Returns the error shape for pydantic's list of problems; values that were sent are not repeated."""
    fields = [".".join(str(part) for part in p["loc"] if part != "body") or "body" for p in problems]
    said = "; ".join(f"{field}: {p['msg']}" for field, p in zip(fields, problems, strict=True))
    return error_body(InputError.code, f"The request is not valid: {said}.", f"Fields: {', '.join(fields)}.")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    status = 422 if error.status_code == 400 else error.status_code  # Starlette's word for a form that is broken
    code, message, hint = PLAIN.get(status, (InputError.code, str(error.detail), ""))
    return JSONResponse(error_body(code, message, hint), status, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return JSONResponse(error_body("cancelled", "The request was cancelled."), CLIENT_GONE)


async def _failed(request: Request, error: Exception) -> Response:
    known = named(error)
    if known is not None and status_of(known) != 500:
        return error_response(known)
    number = secrets.token_hex(4)
    logger.error("error %s in %s %s", number, request.method, request.url.path, exc_info=error)
    return JSONResponse(
        error_body("internal", f"Something went wrong here (error {number}).", "The log of the server says more."), 500
    )
