"""What there is to know of each setting: type, range, choices, meaning, and when a change applies.

Lives here: `SPECS`, read from the fields of `Settings` (there is no second table), and the check of one value. Where
values come from is `pipelines.settings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pipelines.errors import SettingUnknown
from pipelines.settings import DEFAULT_DATA_DIR, ENV_PREFIX, Applies, Category, Settings


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting.

    Attributes:
        type: "integer", "number", "boolean", "string" or "list" (of strings).
        optional: whether null is allowed.
        minimum, maximum: of a number, both allowed themselves.
        above: what a number must exceed; None when there is no such bound.
        choices: the words that are allowed; empty when any is.
        applies: "now" (from the next request, job or command on) or "restart".
        fixed: never changed over HTTP, only by environment or file.
        secret: never shown, only whether it is set.
        default: as JSON; None for secrets.
    """

    key: str
    type: str
    optional: bool
    minimum: float | None
    maximum: float | None
    above: float | None
    choices: tuple[str, ...]
    category: Category
    description: str
    applies: Applies
    fixed: bool
    secret: bool
    default: Any

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return ENV_PREFIX + self.key.upper()

    @property
    def allowed(self) -> str:
        """What values are allowed, in words."""
        words = {
            "boolean": "true or false",
            "integer": "a whole number",
            "list": "a list of texts",
            "number": "a number",
            "string": "a text",
        }
        said = f"one of {', '.join(self.choices)}" if self.choices else words[self.type]
        if self.minimum is not None:
            said += f" from {self.minimum:g} to {self.maximum:g}"
        elif self.above is not None:
            said += f" above {self.above:g}"
        return said + (" or null" if self.optional else "")


def spec_of(key: str) -> SettingSpec:
    """Returns the spec of a setting. Raises SettingUnknown."""
    if key not in SPECS:
        raise SettingUnknown(f"There is no setting {key[:80]!r}.", "GET /settings lists them.")
    return SPECS[key]


def checked(key: str, value: Any) -> Any:
    """Returns a JSON value as the setting has it. Raises ValueError that says what is wrong and what is allowed."""
    if key not in SPECS:
        raise ValueError("there is no such setting")
    spec = SPECS[key]
    if spec.fixed:
        raise ValueError(f"it is set by {spec.variable} or settings.toml only")
    try:
        return _adapter(key).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        said = "; ".join(e["msg"] for e in error.errors(include_url=False, include_input=False))
        raise ValueError(f"{said}; allowed is {spec.allowed}") from error


def shown(key: str, value: Any) -> Any:
    """Returns a setting's value as JSON."""
    return _adapter(key).dump_python(value, mode="json")


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = Settings.model_fields[key]
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(kind)


def _spec(key: str, field: FieldInfo) -> SettingSpec:
    about = cast("dict[str, Any]", field.json_schema_extra)
    schema = _adapter(key).json_schema()
    (kind,) = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    secret = not field.repr
    default = str(DEFAULT_DATA_DIR) if key == "data_dir" else shown(key, field.default)
    return SettingSpec(
        key=key,
        type="list" if kind["type"] == "array" else kind["type"],
        optional="anyOf" in schema,
        minimum=kind.get("minimum"),
        maximum=kind.get("maximum"),
        above=kind.get("exclusiveMinimum"),
        choices=tuple(kind.get("enum", ())),
        category=about["category"],
        description=field.description or "",
        applies=about["applies"],
        fixed=about["fixed"],
        secret=secret,
        default=None if secret else default,
    )


SPECS: dict[str, SettingSpec] = {key: _spec(key, field) for key, field in Settings.model_fields.items()}
"""By key, in the order of the table."""
