"""What is stored of the library: how far scans and matches are, and who is in one scene or image."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from pipelines.errors import StashNotFound
from serve_app.contents import Content
from serve_app.crops import of_content
from serve_app.library_schemas import LibraryStatus, StoredPeople
from serve_app.routes.rejections import without_rejected
from serve_app.schemas import ErrorAnswer, StashNumber
from serve_app.services import Services, ServicesDep

router = APIRouter(
    prefix="/library",
    tags=["library"],
    responses={503: {"model": ErrorAnswer, "description": "the SQL store or the scans cannot be read"}},
)
NOT_SCANNED: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "not scanned and matched"}}


@router.get("/status", response_model=LibraryStatus)
async def status(services: ServicesDep) -> Any:
    """Scans by status and reason, matches and how many are stale, performers found, and the jobs under way."""
    return await services.ask(services.index.library_status.remote(services.live.changed))


@router.get("/scenes/{scene_id}", response_model=StoredPeople, response_model_exclude_unset=True, responses=NOT_SCANNED)
async def scene(scene_id: StashNumber, services: ServicesDep) -> Any:
    """Who is in a scene, as its stored scan says."""
    return await stored("scene", scene_id, services)


@router.get("/images/{image_id}", response_model=StoredPeople, response_model_exclude_unset=True, responses=NOT_SCANNED)
async def image(image_id: StashNumber, services: ServicesDep) -> Any:
    """Who is in an image, as its stored scan says."""
    return await stored("image", image_id, services)


async def stored(kind: Literal["scene", "image"], content_id: str, services: Services) -> dict[str, Any]:
    """Returns the stored people with links to their best faces. Raises StashNotFound."""
    answer: dict[str, Any] | None = await services.ask(services.index.stored_people.remote(kind, content_id))
    if answer is None:
        raise StashNotFound(
            f"The {kind} {content_id} has not been scanned and matched.", "Start a scan, or ask /identify."
        )
    await without_rejected(services, kind, content_id, answer)
    content = Content(kind, content_id, answer.pop("file_fingerprint"))
    for person in (*answer["people"], *answer["unknown"]):
        if person["best"] is not None:
            person["best"]["crop_url"] = services.crops.link(of_content(content, person["best"]))
    return answer
