"""The parts as the settings ask for them: model folder, engine, sampling plan, identify options.

Lives here: reading `Settings` into the records of the rooms, so that the command line, the Serve deployments and the
batch runs cannot differ.
"""

from __future__ import annotations

from pipelines.faces.catalogue import get_pack
from pipelines.faces.engine import EngineOptions, FaceEngine
from pipelines.machine import cores
from pipelines.match_options import identify_options
from pipelines.media.access import MediaAccess
from pipelines.media.hashes import HASH_VERSION, VIDEO_HASH_VERSION
from pipelines.media.video import SamplingPlan
from pipelines.models.library import ModelLibrary
from pipelines.settings import Settings
from pipelines.store.scan_schema import ContentKind, ScanRecipe

__all__ = [
    "CPU_PROVIDERS",
    "GPU_PROVIDERS",
    "SCAN_VERSION",
    "engine_options",
    "identify_options",
    "media_access",
    "open_engine",
    "sampling_plan",
    "scan_recipe",
]

GPU_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
CPU_PROVIDERS = ("CPUExecutionProvider",)
SCAN_VERSION = "2"
"""Changes when other frames are chosen, or other faces found, with the same settings."""


def engine_options(settings: Settings) -> EngineOptions:
    """Returns how one engine runs: its share of the cores, CUDA when replicas are given a GPU."""
    return EngineOptions(
        threads=settings.engine_threads or max(1, cores() // settings.engine_replicas),
        providers=GPU_PROVIDERS if settings.gpus_per_replica else CPU_PROVIDERS,
        batch_size=settings.engine_batch_size,
        min_face_px=settings.min_face_px,
    )


def open_engine(settings: Settings) -> FaceEngine:
    """Returns the engine of the pack in force. Raises PackUnknown, ModelMissing, ModelContractMismatch."""
    pack = get_pack(settings.pack)
    return FaceEngine(pack, ModelLibrary(settings.models_path).folder(pack), engine_options(settings))


def sampling_plan(settings: Settings) -> SamplingPlan:
    """Returns which frames of a video are looked at."""
    return SamplingPlan(
        frames=settings.frames_per_scene,
        start_fraction=settings.start_fraction,
        end_fraction=settings.end_fraction,
        max_side_px=settings.max_side_px,
        timeout_s=settings.decode_timeout_s,
    )


def scan_recipe(settings: Settings, kind: ContentKind) -> ScanRecipe:
    """Returns what besides the file decides what a scan finds; a change of it makes stored scans out of date.

    Raises PackUnknown.
    """
    options, plan = engine_options(settings), sampling_plan(settings)
    faces = f"faces from {options.min_face_px} px, quality from {options.min_quality:g}"
    frames = f"{plan.frames} frames, {plan.start_fraction:g} to {plan.end_fraction:g}, {plan.max_side_px} px, "
    sampling = f"{SCAN_VERSION}: {frames if kind == 'scene' else ''}{faces}"
    hashes = VIDEO_HASH_VERSION if kind == "scene" else HASH_VERSION
    return ScanRecipe(get_pack(settings.pack).template_id, sampling, hashes)


def media_access(settings: Settings) -> MediaAccess:
    """Returns how files of Stash's library are reached from here. Raises InputError for a wrong path_map."""
    return MediaAccess(settings.path_map, settings.stash_url, settings.stash_api_key)
