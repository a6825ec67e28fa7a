"""What an action is: a plan made of before-images, of what will change, and of the writes that do it.

    ActionType.plan(library, params) -> Plan     reads only; the same plan is the preview and the order
    Plan.steps                                   JSON records of `steps`, carried out one after the other
    ActionType.undo(undoing)                     puts back what still is as the action left it

Records only; carrying out is `performing`, putting back is `undoing`, the types are one module a family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.actions.snapshots import EntityKind, Snapshot, digest_of, label
from pipelines.errors import InputError
from pipelines.stash.library import StashLibrary

if TYPE_CHECKING:
    from pipelines.actions.undoing import Undoing

Step = dict[str, Any]
"""One write to Stash: {"op": name in `steps.STEPS`, ...}; JSON, so that it is in the log before it is carried out."""


class Params(BaseModel):
    """Base of the parameters of every action: nothing beyond what is named is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that will be different.

    Attributes:
        field: in Stash's names; "exists" where the entity itself comes or goes.
        before, after: as people read them: names instead of ids.
        destructive: something is gone afterwards.
    """

    entity: str
    entity_id: str
    field: str
    before: Any
    after: Any
    destructive: bool = False
    title: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Gone:
    """An entity that does not exist any more once the action is done, and why."""

    entity: EntityKind
    entity_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action will do.

    Attributes:
        params: JSON, with defaults.
        title: one sentence that says what will be done.
        before: the before-images of everything that it touches.
        steps: the writes in their order; none when everything is as wanted already.
        not_undone: sentences on what no undo brings back; `undoable` is False when that is everything.
        pictures: of these entities the picture is kept before it is lost.
    """

    action: str
    params: Mapping[str, Any]
    title: str
    before: tuple[Snapshot, ...]
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    gone: tuple[Gone, ...] = ()
    not_undone: tuple[str, ...] = ()
    undoable: bool = True
    pictures: tuple[tuple[EntityKind, str], ...] = ()

    @property
    def digest(self) -> str:
        """Changes when an entity is no longer what was seen."""
        return digest_of(self.action, self.params, self.before)

    @property
    def destructive(self) -> bool:
        return any(change.destructive for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        """Returns what POST /actions/preview shows."""
        return {
            "action": self.action,
            "params": dict(self.params),
            "title": self.title,
            "changes": [change.as_json() for change in self.changes],
            "destructive": self.destructive,
            "undoable": self.undoable,
            "not_undone": list(self.not_undone),
            "digest": self.digest,
        }


class ActionType(ABC):
    """One kind of action. Stateless."""

    id: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    destructive: ClassVar[bool]
    params: ClassVar[type[Params]]

    @abstractmethod
    async def plan(self, library: StashLibrary, params: Any) -> Plan:
        """Returns what would be done now. Reads only.

        Raises InputError for parameters that do not fit together or name what is not theirs, StashNotFound for an
        entity that does not exist, and the other StashError leaves.
        """

    @abstractmethod
    def entities(self, params: Any) -> list[tuple[EntityKind, str]]:
        """Returns what the parameters name of Stash that the action looks at closely; nothing is asked."""

    @abstractmethod
    async def undo(self, undoing: Undoing) -> None:
        """Puts back what can be; says of everything else why not. May be called again after an interruption."""

    def parse(self, params: Mapping[str, Any]) -> Params:
        """Returns the validated parameters. Raises InputError that names the field."""
        try:
            return self.params.model_validate(dict(params))
        except ValidationError as error:
            said = "; ".join(f"params.{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
            raise InputError(f"The parameters of {self.id} are not valid: {said}.", "See GET /actions/types.") from None


def field_changes(before: Snapshot, values: Mapping[str, Any], names: Mapping[str, Mapping[str, str]]) -> list[Change]:
    """Returns the changes that writing `values` makes to an entity; `names` are further names by field and id."""
    labels = {field: {**before["labels"].get(field, {}), **names.get(field, {})} for field in values}
    shown = {**before, "labels": labels}
    return [
        Change(
            before["kind"],
            before["id"],
            field,
            label(before, field, before.get(field)),
            label(shown, field, value),
            title=str(before.get("title") or before.get("name") or ""),
        )
        for field, value in values.items()
    ]
