"""Who is in a picture, a gallery or a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from pipelines.media.video import HttpSource
from serve_app.contents import Medium
from serve_app.requests import body_schema, read_file, read_gallery, read_picture, read_scene
from serve_app.routes.rejections import without_rejected
from serve_app.schemas import (
    ErrorAnswer,
    FileRequest,
    GalleryRequest,
    Identification,
    ImageRequest,
    Question,
    SceneQuestion,
    SceneRequest,
)
from serve_app.services import Services, ServicesDep
from serve_app.sources import Asked, StashName, is_video
from serve_app.stash_sources import Shown

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        401: "API key missing or wrong",
        403: "path or URL outside what the settings allow",
        404: "no such file, or nothing of that id in Stash",
        413: "a limit is exceeded",
        415: "a format that is not read here",
        422: "not valid, or damaged media",
        502: "Stash, or the server of a URL, does not answer as it should",
        503: "overloaded, or no performer database; Retry-After says when to try again",
        504: "took too long",
    }.items()
}

NOT_STASH = Shown({}, (), ())

router = APIRouter(prefix="/identify", tags=["identify"], responses=ERRORS)


def _post(path: str, extra: Any) -> Callable[..., Any]:
    return router.post(path, response_model=Identification, response_model_exclude_unset=True, openapi_extra=extra)


@_post("", body_schema(FileRequest, SceneQuestion))
async def identify(request: Request, services: ServicesDep) -> Response:
    """Who is in a picture or a video, whichever the file turns out to be."""
    asked, question = await read_file(request, services.settings)
    medium = await services.stash.medium(asked)
    engine = services.engine
    if isinstance(medium.source, HttpSource):
        method = engine.scene if await is_video(medium.source) else engine.image
    else:
        method = engine.identify
    return await answered(services, method.remote(medium, question, services.live.changed), question, [medium])


@_post("/image", body_schema(ImageRequest, Question))
async def identify_image(request: Request, services: ServicesDep) -> Response:
    """Who is in a picture: one person for each face, boxes in px of the upright picture."""
    asked, question = await read_picture(request, services.settings)
    return await identify_one(asked, question, services, services.engine.image)


@_post("/gallery", body_schema(GalleryRequest, Question, several=True))
async def identify_gallery(request: Request, services: ServicesDep) -> Response:
    """Who is in several pictures together. Pictures that cannot be used are listed under `errors`."""
    asked, question = await read_gallery(request, services.settings)
    if isinstance(asked, StashName):
        shown = await services.stash.gallery(asked.stash_id)
    else:
        shown = Shown({}, tuple([await services.stash.medium(one) for one in asked]), ())
    ask = services.engine.gallery.remote(shown.media, shown.tagged, question, services.live.changed)
    return await answered(services, ask, question, shown.media, shown)


@_post("/scene", body_schema(SceneRequest, SceneQuestion))
async def identify_scene(request: Request, services: ServicesDep) -> Response:
    """Who is in a video, and when."""
    asked, question = await read_scene(request, services.settings)
    return await identify_one(asked, question, services, services.engine.scene)


async def identify_one(asked: Asked, question: Question, services: Services, method: Any) -> Response:
    """Answers about one picture or video, by its id in Stash or not."""
    if isinstance(asked, StashName):
        shown = await (services.stash.scene if asked.kind == "scene" else services.stash.image)(asked.stash_id)
    else:
        shown = Shown({}, (await services.stash.medium(asked),), ())
    (medium,) = shown.media
    return await answered(
        services, method.remote(medium, question, services.live.changed), question, shown.media, shown
    )


async def answered(
    services: Services, ask: Any, question: Question, media: Sequence[Medium], shown: Shown = NOT_STASH
) -> Response:
    """Returns the engine's answer with what Stash knows, and links to the crops."""
    answer = await services.ask(ask)
    if shown.about:
        await without_rejected(services, shown.about["kind"], shown.about["id"], answer)
    if question.crop_links is not False:
        await services.crops.add_links(answer, media)
    if shown.about:
        answer["content"] = shown.about
    if shown.about.get("kind") == "gallery":
        name_images(answer, media)
    if shown.left_out:
        answer["warnings"].append(f"{shown.left_out} of {shown.about['images']} images were not looked at.")
    return JSONResponse(answer)


def name_images(answer: dict[str, Any], media: Sequence[Medium]) -> None:
    """Adds Stash's ids of the images beside their numbers."""
    ids = [medium.content.content_id if medium.content else "" for medium in media]
    for person in (*answer["people"], *answer["unknown"]):
        person["image_ids"] = [ids[number] for number in person["images"]]
        person["best"]["image_id"] = ids[person["best"]["frame"]]
    for error in answer["errors"]:
        error["image_id"] = ids[error["image"]]
