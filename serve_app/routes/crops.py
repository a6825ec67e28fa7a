"""Pictures of faces behind the links that answers hold. The links are signed; no API key is asked for."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response

from pipelines.errors import MediaNotFound
from pipelines.store.face_crops import FaceCrops
from serve_app.crops import LIVES_S, CropName, file_digest, is_portrait
from serve_app.deployments import apart
from serve_app.schemas import ErrorAnswer
from serve_app.services import Services, ServicesDep

router = APIRouter(prefix="/crops", tags=["identify"])


@router.get(
    "/{token}.jpg",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        404: {"model": ErrorAnswer, "description": "no link of this server, expired, or the file is gone"},
    },
)
async def crop(token: str, services: ServicesDep) -> Response:
    """A face or a portrait, as a link in an answer names it."""
    name = services.crops.read(token)
    if name.kind == "enrolled":
        picture = await kept_face(name, services)
    else:
        picture = await services.crops.get(name) or await made(name, services)
    headers = {"Cache-Control": f"private, max-age={LIVES_S}, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(picture, media_type="image/jpeg", headers=headers)


async def kept_face(name: CropName, services: Services) -> bytes:
    """Returns the picture that an enrolment kept. Raises MediaNotFound."""
    source, universal_id, key = name.name.split(" ")
    crops = FaceCrops(services.settings.enrolled_crops_path, source)
    picture = await asyncio.to_thread(crops.get, universal_id, key)
    if picture is None:
        raise MediaNotFound("The picture of the face is not kept any more.", "Ask again.")
    return picture


async def made(name: CropName, services: Services) -> bytes:
    """Returns a picture that is not there yet, and keeps it."""
    picture = await (portrait if name.kind == "portrait" else cut)(name, services)
    await services.crops.keep(name, picture)
    return picture


async def portrait(name: CropName, services: Services) -> bytes:
    """Returns the picture that the performer database names of somebody. Raises MediaNotFound, MediaError leaves."""
    person = await services.ask(services.index.person.remote(name.name))
    if not is_portrait(person["image_url"], services.settings.stash_url):
        raise MediaNotFound("No picture of the person is known.")
    found: bytes = await apart.done_apart(apart.portrait, services.settings, person["image_url"])
    return found


async def cut(name: CropName, services: Services) -> bytes:
    """Returns a crop from the scene or image that it is of. Raises MediaNotFound when that is another file by now."""
    if name.kind == "kept" or name.box is None:
        raise MediaNotFound("The crop is not kept any more.", "Ask again.")
    found = await (services.stash.scene if name.kind == "scene" else services.stash.image)(name.name)
    (medium,) = found.media
    if medium.content is None or file_digest(medium.content) != name.file:
        raise MediaNotFound("The file is another one by now.", "Ask again.")
    picture: bytes = await services.ask(
        services.engine.crop.remote(medium, name.time_s, name.box, services.live.changed)
    )
    return picture
