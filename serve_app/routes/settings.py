"""The settings: reading them, changing them, and what they are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from serve_app.schemas import ErrorAnswer
from serve_app.services import ServicesDep
from serve_app.system_schemas import SettingAnswer, SettingsAnswer, SettingsChange, SettingValue

ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "no such setting"},
    409: {"model": ErrorAnswer, "description": "set by the environment, or not to be changed over HTTP"},
    422: {"model": ErrorAnswer, "description": "a value that is not allowed; nothing was changed"},
    503: {"model": ErrorAnswer, "description": "the SQL store does not answer"},
}

router = APIRouter(prefix="/settings", tags=["settings"], responses=ERRORS)


@router.get("", response_model=SettingsAnswer)
async def list_settings(services: ServicesDep) -> Any:
    """Every setting: value, where it comes from, what is allowed, when a change applies. Secrets are never shown."""
    return {"settings": services.live.records()}


@router.put("", response_model=SettingsAnswer)
async def change_settings(change: SettingsChange, services: ServicesDep) -> Any:
    """Change several settings, all of them or none."""
    await services.live.put(change.settings)
    return {"settings": services.live.records()}


@router.get("/{key}", response_model=SettingAnswer)
async def show_setting(key: str, services: ServicesDep) -> Any:
    """One setting."""
    return services.live.record(key)


@router.put("/{key}", response_model=SettingAnswer)
async def change_setting(key: str, change: SettingValue, services: ServicesDep) -> Any:
    """Change one setting. It is kept, and survives a restart."""
    services.live.record(key)
    await services.live.put({key: change.value})
    return services.live.record(key)


@router.delete("/{key}", response_model=SettingAnswer)
async def reset_setting(key: str, services: ServicesDep) -> Any:
    """Forget the change of a setting: environment, file or default count again."""
    services.live.record(key)
    await services.live.reset({key})
    return services.live.record(key)
