"""Every setting, typed, once, and where its value comes from.

Precedence: environment STASH_SENSE_*, then the overrides kept in the SQL store (what was changed over HTTP), then
`<data_dir>/settings.toml`, then the default. `load_settings()` is called at the edge (CLI, Serve builder, tests) and
the record is passed down; no other module reads the environment. What the table says of each setting (type, range,
...) is `pipelines.setting_specs`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipelines.errors import StoreError

logger = logging.getLogger(__name__)

ENV_PREFIX = "STASH_SENSE_"
DEFAULT_DATA_DIR = Path("~/.local/share/stash-sense")

Category = Literal["server", "stash", "identification", "engine", "scan", "limits", "database"]
Applies = Literal["now", "restart"]
Source = Literal["env", "argument", "override", "file", "default"]
"""Where a value comes from; "argument" is what the server was started with: a Serve config file, an option of `up`."""

PathRule = Annotated[str, Field(pattern=r"^[^=]+=.+$")]
BoxRule = Annotated[str, Field(pattern=r"^https?://[^=\s]+=\S+$")]
ModelSourceRule = Annotated[str, Field(pattern=r"^(open|open-dlib|buffalo_l|stash-sense-2026)=https?://[^\s/]+\S*$")]
BoxEndpoint = Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$", max_length=500)]
ReleaseRule = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}=https?://[^\s/]+\S*$")]


def _now(category: Category, default: Any, description: str, **limits: Any) -> Any:
    """A setting whose change counts from the next request, job or command on."""
    return _setting(category, "now", default, description, **limits)


def _restart(category: Category, default: Any, description: str, **limits: Any) -> Any:
    """A setting that is read when the server starts."""
    return _setting(category, "restart", default, description, **limits)


def _fixed(category: Category, default: Any, description: str, **limits: Any) -> Any:
    """A setting read at the start that is never changed over HTTP: where the server and its data are, who may ask what.

    Whoever holds the API key must not be able to widen what the key opens.
    """
    return _setting(category, "restart", default, description, fixed=True, **limits)


def _setting(
    category: Category, applies: Applies, default: Any, description: str, *, fixed: bool = False, **limits: Any
) -> Any:
    about: dict[str, Any] = {"category": category, "applies": applies, "fixed": fixed}
    return Field(default, description=description, json_schema_extra=about, **limits)


class Settings(BaseSettings):
    """All settings of one process tree; frozen, unknown keys refused. Made by hand it knows nothing of overrides."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid", validate_default=True)

    data_dir: Path = _fixed("server", DEFAULT_DATA_DIR, "Where models, the performer database and keys live.")
    models_dir: Path | None = _fixed("server", None, "Model files; `<data_dir>/models` when unset.")
    pack: Literal["open", "open-dlib", "buffalo_l", "stash-sense-2026"] = _restart("engine", "open", "Model pack.")

    model_sources: tuple[ModelSourceRule, ...] = _fixed(
        "engine", (), "Where the files of a model pack are downloaded from: pack=URL; their usual places when unset."
    )

    host: str = _fixed("server", "127.0.0.1", "Address that the HTTP server listens on.")
    port: int = _fixed("server", 6960, "Port that the HTTP server listens on.", ge=1, le=65535)
    api_key: str | None = _fixed("server", None, "API key; made at first start when unset.", repr=False)
    allowed_roots: tuple[Path, ...] = _fixed("server", (), "Folders whose files may be named in a request.")
    allowed_hosts: tuple[str, ...] = _fixed("server", (), "host[:port] names that a request may fetch from.")
    cors_origins: tuple[str, ...] = _fixed("server", (), "Browser origins allowed to call the server directly.")
    proxy: Literal["auto", "default", "haproxy"] = _fixed(
        "server", "auto", "Ray Serve's HTTP proxy; auto = HAProxy where it is installed."
    )

    stash_url: str | None = _now(
        "stash", None, "Address of Stash, such as http://127.0.0.1:9999.", pattern=r"^https?://[^\s/]"
    )
    stash_api_key: str | None = _now("stash", None, "API key of Stash; only if it asks for one.", repr=False)
    stash_requests_per_s: float = _now("stash", 5.0, "Requests to Stash, of the whole cluster.", ge=0.1, le=100)
    stashboxes: tuple[BoxRule, ...] = _fixed(
        "stash", (), "Stash-boxes besides those that Stash knows: https://HOST/graphql=KEY.", repr=False
    )
    stashbox_order: tuple[BoxEndpoint, ...] = _now(
        "stash", (), "Endpoints of stash-boxes, first used first; others follow as they stand in Stash."
    )
    stashbox_off: tuple[BoxEndpoint, ...] = _now(
        "stash", (), "Endpoints of stash-boxes that are not used: nobody is enrolled from them nor linked to them."
    )
    stashbox_requests_share: float = _now(
        "stash", 0.5, "Share of a stash-box's request limit that is used.", ge=0.01, le=1.0
    )
    stashbox_pause_s: float = _now(
        "stash", 60.0, "Pause when a stash-box says that it is asked too often, in seconds.", ge=0.1, le=3600.0
    )
    stashbox_image_hosts: tuple[str, ...] = _fixed(
        "stash", (), "host[:port] names that pictures of stash-boxes may come from; any public one when empty."
    )
    path_map: tuple[PathRule, ...] = _now("stash", (), "Where Stash's folders are here: /stash/path=/local/path.")
    state_url: str | None = _fixed(
        "server", None, "SQL store, as a URL; a SQLite file in the data folder when unset.", repr=False
    )

    release_sources: tuple[ReleaseRule, ...] = _fixed(
        "database", (), "Where released performer databases are asked for: name=URL; nowhere when unset."
    )
    release_public_key: str | None = _fixed(
        "database", None, "Minisign public key; releases without its signature are refused.", pattern=r"^RW\S{54}$"
    )
    max_release_gb: float = _fixed(
        "database", 20.0, "Largest file of a release that is downloaded, in GB.", gt=0, le=1000
    )
    enrolled_crop_px: int = _now(
        "database", 96, "Side of the pictures that are kept of enrolled faces, in px; 0 keeps none.", ge=0, le=240
    )

    frames_per_scene: int = _now("identification", 60, "Frames sampled from one video.", ge=5, le=600)
    start_fraction: float = _now("identification", 0.05, "Where sampling starts, of the duration.", ge=0.0, le=0.5)
    end_fraction: float = _now("identification", 0.95, "Where sampling ends, of the duration.", ge=0.5, le=1.0)
    max_side_px: int = _now("identification", 1280, "Longest side of a decoded frame.", ge=320, le=4096)
    decode_timeout_s: float = _now(
        "limits", 300.0, "Longest time that decoding one video may take.", gt=0, allow_inf_nan=False
    )
    min_face_px: int = _restart("identification", 24, "Smallest side of a face box that is used, in px.", ge=16, le=400)
    min_unique_frames: int = _now("identification", 2, "Frames in which a person must be seen in a video.", ge=1, le=20)
    top_k: int = _now("identification", 5, "Candidates reported for one person.", ge=1, le=50)

    engine_replicas: int = _restart("engine", 1, "FaceEngine replicas.", ge=1, le=64)
    engine_threads: int = _restart("engine", 0, "ONNX threads of a replica; 0 = all cores / replicas.", ge=0, le=64)
    engine_batch_size: int = _restart("engine", 16, "Faces or frames in one model call.", ge=1, le=128)
    gpus_per_replica: float = _restart("engine", 0.0, "GPU share of a FaceEngine replica; 0 = CPU.", ge=0.0, le=1.0)
    decode_workers: int = _restart("engine", 2, "Videos decoded at once by one FaceEngine replica.", ge=1, le=64)
    index_dtype: Literal["float16", "float32"] = _now("engine", "float16", "Storage of enrolled templates.")

    scan_workers: int = _now("scan", 0, "Scan workers; 0 = one for each core.", ge=0, le=256)
    scan_niceness: int = _now("scan", 10, "How far scan workers stand back for requests.", ge=0, le=19)
    analyze_after_scan: bool = _now(
        "scan", True, "Start the analyzers by themselves after a scan that changed something."
    )

    undo_days: int = _now("limits", 365, "Days for which an action in Stash can be undone.", ge=1, le=36_500)
    closed_days: int = _now("limits", 180, "Days for which closed recommendations are kept.", ge=1, le=36_500)
    max_body_mb: int = _now("limits", 64, "Largest request body, in MB.", ge=1, le=4096)
    max_bodies_mb: int = _now("limits", 512, "Bodies of all requests under way, in MB.", ge=1, le=65_536)
    max_image_megapixels: int = _now("limits", 100, "Largest picture, in megapixels.", ge=1, le=1000)
    max_video_duration_s: float = _now("limits", 6 * 3600, "Longest video, in seconds.", gt=0, allow_inf_nan=False)
    max_gallery_images: int = _now("limits", 200, "Most images in one gallery request.", ge=1, le=5000)
    max_queued_requests: int = _restart("limits", 64, "Requests waiting before 503 is answered.", ge=1, le=10_000)
    request_timeout_s: float = _restart(
        "limits", 600.0, "Longest time that one request may take.", gt=0, allow_inf_nan=False
    )

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic-settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _file_source(settings_cls)

    @property
    def models_path(self) -> Path:
        """Folder that holds one sub-folder per model pack."""
        return self.models_dir or self.data_dir / "models"

    @property
    def database_path(self) -> Path:
        """Folder of the performer database versions."""
        return self.data_dir / "performer-db"

    @property
    def releases_path(self) -> Path:
        """Folder of what is being downloaded and imported."""
        return self.data_dir / "releases"

    @property
    def portraits_path(self) -> Path:
        """Folder of what was found in the pictures and scenes of Stash's performers when they were enrolled."""
        return self.data_dir / "portraits"

    @property
    def scans_path(self) -> Path:
        """Folder of the dataset of scanned faces and frame hashes."""
        return self.data_dir / "scans"

    @property
    def matches_path(self) -> Path:
        """Folder of the Parquet files that say who is in what."""
        return self.data_dir / "matches"

    @property
    def enrolments_path(self) -> Path:
        """Folder of what was seen while performers of stash-boxes were enrolled."""
        return self.data_dir / "enrolments"

    @property
    def enrolled_crops_path(self) -> Path:
        """Folder of the small pictures of enrolled faces."""
        return self.data_dir / "enrolled-crops"

    @property
    def candidates_path(self) -> Path:
        """Parquet file of the pairs of scenes that the last search for duplicates gave."""
        return self.data_dir / "duplicates" / "candidates.parquet"

    @property
    def reports_path(self) -> Path:
        """Folder of the reports that enrolments leave."""
        return self.data_dir / "reports"

    @property
    def fetched_exports_path(self) -> Path:
        """Folder of exported recommendations that are being fetched."""
        return self.data_dir / "exports" / ".recommendations"

    @property
    def store_path(self) -> Path:
        """File of the SQL store when `state_url` is unset."""
        return self.data_dir / "state.db"

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the SQL store."""
        return self.state_url or f"sqlite:///{self.store_path}"


@dataclass(frozen=True, slots=True)
class SettingLayers:
    """The settings without the overrides, so that these can be laid over them again and again.

    Attributes:
        base: environment over file over default.
        sources: where each value of `base` comes from.
    """

    base: Settings
    sources: Mapping[str, Source]

    @classmethod
    def read(cls) -> SettingLayers:
        """Returns the layers of this process. Raises pydantic.ValidationError that names the key, value and range."""
        base = Settings()
        environment, file = EnvSettingsSource(Settings)(), _file_source(Settings)()
        return cls(base, {n: _source_of(n, environment, file) for n in Settings.model_fields})

    def under(self, overrides: Mapping[str, Any]) -> Resolution:
        """Returns the settings with overrides laid over them.

        What environment or arguments set stays. Overrides that are not valid (any more) are left out and named.
        """
        from pipelines.setting_specs import checked

        good: dict[str, Any] = {}
        ignored: dict[str, str] = {}
        for key, value in overrides.items():
            if taken := self.taken(key):
                ignored[key] = taken
                continue
            try:
                good[key] = checked(key, value)
            except ValueError as error:
                ignored[key] = str(error)
        sources: dict[str, Source] = {**self.sources, **dict.fromkeys(good, "override")}
        return Resolution(self.base.model_copy(update=good), sources, ignored)

    def taken(self, key: str) -> str:
        """Returns why no override of a setting can count; empty when one can."""
        return {
            "env": f"it is set by {ENV_PREFIX}{key.upper()} in the environment",
            "argument": "it is set where the server was started",
        }.get(self.sources.get(key, ""), "")


@dataclass(frozen=True, slots=True)
class Resolution:
    """The settings in force and where each value comes from.

    Attributes:
        ignored: overrides that do not count, and why.
    """

    settings: Settings
    sources: Mapping[str, Source]
    ignored: Mapping[str, str]


def resolve_settings(layers: SettingLayers | None = None) -> Resolution:
    """Returns the settings in force with the overrides that are kept in the SQL store, if there is one.

    An override that does not count, or a store that does not answer, is a warning in the log. Raises like
    `SettingLayers.read`.
    """
    layers = layers or SettingLayers.read()
    resolution = layers.under(_kept_overrides(layers.base))
    for key, reason in resolution.ignored.items():
        logger.warning("the override of the setting %s is ignored: %s", key, reason)
    return resolution


def layers_behind(settings: Settings) -> SettingLayers:
    """Returns the layers that gave a record of settings; values that come from none of them are arguments."""
    layers = SettingLayers.read()
    overridden = layers.under(_kept_overrides(settings)).settings
    arguments = {
        name: value
        for name in Settings.model_fields
        if (value := getattr(settings, name)) not in (getattr(layers.base, name), getattr(overridden, name))
    }
    sources: dict[str, Source] = {**layers.sources, **dict.fromkeys(arguments, "argument")}
    return SettingLayers(layers.base.model_copy(update=arguments), sources)


def load_settings() -> Settings:
    """Returns the settings in force, see `resolve_settings`."""
    return resolve_settings().settings


def _kept_overrides(base: Settings) -> dict[str, Any]:
    if base.state_url is None and not base.store_path.exists():
        return {}
    from pipelines.store.overrides import kept_overrides

    try:
        return kept_overrides(base.store_url)
    except StoreError as error:
        logger.warning("settings that were changed over HTTP cannot be read: %s", error)
        return {}


def _file_source(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    data_dir = Path(os.environ.get(f"{ENV_PREFIX}DATA_DIR", DEFAULT_DATA_DIR)).expanduser()
    return TomlConfigSettingsSource(settings_cls, toml_file=data_dir / "settings.toml")


def _source_of(name: str, environment: Mapping[str, Any], file: Mapping[str, Any]) -> Source:
    if name in environment:
        return "env"
    return "file" if name in file else "default"
