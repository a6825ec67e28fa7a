"""What the page may ask: one line for each mode. A mode that is not here reaches nothing.

    "name": Mode("GET", "/path/{id}", timeout_s)

The page sends {"mode", "path": {...}, "query": {...}, "body": ...}; values of `path` are quoted into the route.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from stash_sense_proxy.failures import Failure

SHORT_S, USUAL_S, LONG_S = 10.0, 30.0, 120.0
DECODING_S = 300.0
"""A scene is decoded within the server's own `decode_timeout_s`."""


class Mode(NamedTuple):
    """A route of the server.

    Attributes:
        busy_s: how long a server that says "busy" is asked again, by its Retry-After, before the owner is told.
    """

    method: str
    route: str
    timeout_s: float = USUAL_S
    busy_s: float = 0.0


MODES: dict[str, Mode] = {
    "health": Mode("GET", "/health", SHORT_S),
    "capabilities": Mode("GET", "/capabilities", SHORT_S),
    "system": Mode("GET", "/system", SHORT_S),
    "stash": Mode("GET", "/stash"),
    # identify
    "identify_scene": Mode("POST", "/identify/scene", DECODING_S, busy_s=60),
    "identify_image": Mode("POST", "/identify/image", LONG_S, busy_s=30),
    "identify_gallery": Mode("POST", "/identify/gallery", DECODING_S, busy_s=60),
    "stored_scene": Mode("GET", "/library/scenes/{id}"),
    "stored_image": Mode("GET", "/library/images/{id}"),
    "library_status": Mode("GET", "/library/status"),
    # jobs
    "queue": Mode("GET", "/queue"),
    "queue_status": Mode("GET", "/queue/status", SHORT_S),
    "queue_types": Mode("GET", "/queue/types"),
    "queue_submit": Mode("POST", "/queue"),
    "queue_job": Mode("GET", "/queue/{id}"),
    "queue_stop": Mode("POST", "/queue/{id}/stop"),
    "queue_cancel": Mode("POST", "/queue/{id}/cancel"),
    "queue_retry": Mode("POST", "/queue/{id}/retry"),
    "queue_clear": Mode("DELETE", "/queue/history"),
    "schedules": Mode("GET", "/queue/schedules"),
    "schedule_set": Mode("PUT", "/queue/schedules/{type}"),
    # performer database
    "database_info": Mode("GET", "/database/info"),
    "database_versions": Mode("GET", "/database/versions"),
    "database_updates": Mode("GET", "/database/updates", LONG_S),
    "database_use": Mode("POST", "/database/use", LONG_S),
    "database_verify": Mode("POST", "/database/verify", DECODING_S),
    "database_remove": Mode("DELETE", "/database/versions/{version}", LONG_S),
    # people
    "people": Mode("GET", "/people"),
    "person": Mode("GET", "/people/{id}"),
    "people_excluded": Mode("GET", "/people/excluded"),
    "people_exclude": Mode("POST", "/people/excluded", LONG_S),
    "people_include": Mode("DELETE", "/people/excluded", LONG_S),
    "people_erase": Mode("POST", "/people/{id}/erase", DECODING_S),
    "rejections": Mode("GET", "/people/rejections"),
    "reject": Mode("POST", "/people/rejections"),
    "unreject": Mode("DELETE", "/people/rejections"),
    # settings
    "settings": Mode("GET", "/settings"),
    "settings_put": Mode("PUT", "/settings"),
    "setting_reset": Mode("DELETE", "/settings/{key}"),
    "models": Mode("GET", "/models/status"),
    "model_licence": Mode("GET", "/models/{id}/licence"),
    "models_verify": Mode("POST", "/models/{id}/verify", LONG_S),
    # recommendations
    "recommendations": Mode("GET", "/recommendations"),
    "recommendation_counts": Mode("GET", "/recommendations/counts"),
    "recommendation_types": Mode("GET", "/recommendations/types"),
    "recommendation": Mode("GET", "/recommendations/{id}"),
    "recommendation_dismiss": Mode("POST", "/recommendations/{id}/dismiss"),
    "recommendation_restore": Mode("POST", "/recommendations/{id}/restore"),
    "recommendation_accept": Mode("POST", "/recommendations/{id}/accept", LONG_S),
    "recommendations_dismiss": Mode("POST", "/recommendations/dismiss", LONG_S),
    "recommendations_restore": Mode("POST", "/recommendations/restore", LONG_S),
    "recommendations_preview": Mode("POST", "/recommendations/accept/preview", LONG_S),
    "export_make": Mode("POST", "/recommendations/exports", DECODING_S),
    "export_remove": Mode("DELETE", "/recommendations/exports/{id}"),
    # what is done in Stash
    "actions": Mode("GET", "/actions"),
    "action": Mode("GET", "/actions/{id}"),
    "action_preview": Mode("POST", "/actions/preview", LONG_S),
    "action_perform": Mode("POST", "/actions", LONG_S),
    "action_undo": Mode("POST", "/actions/{id}/undo", LONG_S),
}


def target(mode: Mode, path: dict[str, Any], query: dict[str, Any]) -> str:
    """Returns path and query of a call. Raises Failure when a part of the path is missing or left over."""
    wanted = {piece[1:-1] for piece in mode.route.split("/") if piece.startswith("{")}
    if wanted != set(path):
        raise Failure("bad_call", f"{mode.route} needs {sorted(wanted) or 'no path'}, and got {sorted(path)}.")
    route = mode.route
    for name, value in path.items():
        text = str(value)
        if text in {"", ".", ".."}:
            raise Failure("bad_call", f"{name} is {text!r}.")
        route = route.replace("{" + name + "}", quote(text, safe=":"))
    asked = {key: _plain(value) for key, value in query.items() if value is not None and value != ""}
    return route + ("?" + urlencode(asked, doseq=True) if asked else "")


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [_plain(one) for one in value] if isinstance(value, list) else value
