"""Pictures of faces behind the links that answers hold. The links are signed; no API key is asked for."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from pipelines.errors import MediaNotFound
from serve_app.crops import LIVES_S, CropName, file_digest
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
    """The best face of a person, as a link in an answer names it."""
    name = services.crops.read(token)
    picture = await services.crops.get(name)
    if picture is None:
        picture = await cut(name, services)
        await services.crops.keep(name, picture)
    headers = {"Cache-Control": f"private, max-age={LIVES_S}, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(picture, media_type="image/jpeg", headers=headers)


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
