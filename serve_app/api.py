"""The HTTP app around the routes: description, errors, limits, key, CORS."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from serve_app.auth import OPEN_PATHS, ApiKeyCheck
from serve_app.details_schemas import details_schemas
from serve_app.errors import install_error_handlers
from serve_app.limits import BodyLimit
from serve_app.routes import (
    accept,
    actions,
    crops,
    database,
    exports,
    health,
    identify,
    jobs,
    library,
    models,
    people,
    recommendations,
    rejections,
    settings,
    stash,
    system,
)
from serve_app.services import Services

TITLE = "Stash Sense"
ROUTES = (
    health,
    accept,
    actions,
    identify,
    crops,
    database,
    jobs,
    library,
    models,
    rejections,  # before people, who take any path below theirs
    people,
    exports,
    recommendations,
    settings,
    stash,
    system,
)


def create_api(services: Services | None = None) -> FastAPI:
    """Returns the app; without services it can only describe itself."""
    api = FastAPI(title=TITLE, version=version("stash-sense-ray"), redoc_url=None)
    for routes in ROUTES:
        api.include_router(routes.router)
    install_error_handlers(api)
    api.openapi = lambda: openapi(api)  # type: ignore[method-assign]
    if services is not None:
        api.state.services = services
        _add_middleware(api, services)
    return api


def _add_middleware(api: FastAPI, services: Services) -> None:
    """The last one added sees a request first: CORS, then the key, then the limit."""
    api.add_middleware(
        BodyLimit,
        max_body_mb=lambda: services.settings.max_body_mb,
        max_bodies_mb=lambda: services.settings.max_bodies_mb,
    )
    api.add_middleware(ApiKeyCheck, key_digest=services.key_digest)
    if services.settings.cors_origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["ApiKey", "Authorization", "Content-Type", "Last-Event-ID"],
        )


def openapi(api: FastAPI) -> dict[str, Any]:
    """Returns the OpenAPI document: FastAPI's, with details of recommendations and the two ways of sending the key."""
    if api.openapi_schema is None:
        document = get_openapi(title=api.title, version=api.version, routes=api.routes)
        document["components"]["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "ApiKey"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        document["components"]["schemas"] |= details_schemas()
        document["security"] = [{"ApiKey": []}, {"Bearer": []}]
        for path in OPEN_PATHS & document["paths"].keys():
            for operation in document["paths"][path].values():
                operation["security"] = []
        api.openapi_schema = document
    return api.openapi_schema
