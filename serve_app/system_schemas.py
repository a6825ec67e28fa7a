"""What the routes of settings and system take and give back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.settings import Applies, Category
from pipelines.settings import Source as SettingSource


class SettingAnswer(BaseModel):
    """One setting."""

    key: str
    category: Category
    description: str
    type: Literal["integer", "number", "boolean", "string", "list"]
    optional: bool = Field(description="Whether null is allowed.")
    minimum: float | None
    maximum: float | None
    above: float | None = Field(description="What a number must exceed.")
    choices: list[str] = Field(description="Empty when any text is allowed.")
    default: Any
    value: Any = Field(description="What is set; null for secrets.")
    active: Any = Field(description="What is in force; differs from `value` until a restart that is needed.")
    is_set: bool = Field(description="Whether there is a value; all that is told of a secret.")
    source: SettingSource
    applies: Applies = Field(description="When a change counts: now (from the next request or job on), or restart.")
    restart_needed: bool
    fixed: bool = Field(description="Whether only environment and file can change it.")
    secret: bool
    ignored_override: str | None = Field(description="Why a change that is kept does not count.")
    variable: str = Field(description="Name of the environment variable.")


class SettingsAnswer(BaseModel):
    """Every setting, in the order of the table."""

    settings: list[SettingAnswer]


class SettingValue(BaseModel):
    """A new value of one setting."""

    model_config = ConfigDict(extra="forbid")

    value: Any


class SettingsChange(BaseModel):
    """New values of several settings, by key; all of them or none."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any] = Field(min_length=1, max_length=200)


class Hardware(BaseModel):
    """The machine of the ingress."""

    cpu_cores: int
    cpu_threads: int
    usable_cpus: int = Field(description="Of the threads, those that the server may use.")
    load_1_min: float
    memory_total_mb: int
    memory_available_mb: int
    storage_free_mb: int = Field(description="Where the data folder is.")
    gpus: list[str] = Field(description="Models of the NVIDIA cards.")


class RayResources(BaseModel):
    """What Ray's nodes have, and what of it is free."""

    nodes: int
    cpus: float
    cpus_free: float
    gpus: float
    gpus_free: float
    accelerators: list[str]


class SystemAnswer(BaseModel):
    """The server and its machine."""

    version: str
    uptime_s: float
    hardware: Hardware
    execution_providers: list[str] = Field(description="Of ONNX Runtime in the engine; empty while it starts.")
    ray: RayResources
