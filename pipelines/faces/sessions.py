"""ONNX Runtime sessions: opened with explicit threads and providers, checked against what a pack says of its graphs.

Preprocessing and decoding live with the detector and the embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pipelines.errors import ModelContractMismatch, ModelMissing, ProviderUnavailable
from pipelines.faces.types import F32

CPU = "CPUExecutionProvider"


class GraphSession:
    """One ONNX graph with one float input. `run` may be called from several threads at once.

    Args:
        path: the graph.
        threads: threads inside one operator; operators run one after another.
        providers: execution providers in order of preference, as ONNX Runtime names them.

    Raises:
        ModelMissing: no such file.
        ModelContractMismatch: the file is no graph with exactly one float32 input of rank 4.
        ProviderUnavailable: a provider other than the CPU was asked for and did not start.
    """

    def __init__(self, path: Path, *, threads: int, providers: Sequence[str] = (CPU,)) -> None:
        if threads < 1:
            raise ValueError(f"threads is {threads}, must be at least 1")
        if not path.is_file():
            raise ModelMissing(f"There is no model file {path.name} in {path.parent}.", "Fetch the model pack first.")
        self.path = path
        self._session = _open(path, threads, providers)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise self.mismatch("one float32 input of rank 4", found)
        self._input_name: str = inputs[0].name
        self.input_shape: tuple[int | None, ...] = tuple(d if isinstance(d, int) else None for d in inputs[0].shape)
        """Input dimensions; None where the graph leaves one free."""
        self._output_names: list[str] = [o.name for o in self._session.get_outputs()]

    @property
    def output_count(self) -> int:
        return len(self._output_names)

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, preferred first."""
        return tuple(self._session.get_providers())

    def run(self, blob: F32) -> list[npt.NDArray[np.float32]]:
        """Returns the graph's outputs for one input blob, in the order of the graph."""
        outputs: list[npt.NDArray[np.float32]] = self._session.run(self._output_names, {self._input_name: blob})
        return outputs

    def mismatch(self, expected: str, found: str) -> ModelContractMismatch:
        """Returns the error that says what the pack expects of this graph and what it has."""
        return ModelContractMismatch(
            f"{self.path.name}: expected {expected}, found {found}.",
            "The file is not the graph that the pack describes.",
        )


def _open(path: Path, threads: int, providers: Sequence[str]) -> ort.InferenceSession:
    missing = [p for p in providers if p not in ort.get_available_providers()]
    if missing or not providers:
        raise ProviderUnavailable(
            f"ONNX Runtime cannot use {', '.join(missing) or 'an empty list of providers'}.",
            f"Available: {', '.join(ort.get_available_providers())}. CUDA needs the `gpu` extra.",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # The arena keeps the largest buffers of every input shape for ever. Over 17 videos of many shapes one engine grew
    # to 680 MB with it and 550 MB without, in the same CPU time (2026-11-24).
    options.enable_cpu_mem_arena = False
    # Threads that spin between operators take the cores from everybody else: with 2 threads on 2 busy cores SFace took
    # 202 ms and 62 CPU ms a face with spinning, 69 ms and 39 CPU ms without (2026-11-22).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), sess_options=options, providers=list(providers))
    except (ort.capi.onnxruntime_pybind11_state.Fail, ort.capi.onnxruntime_pybind11_state.InvalidProtobuf) as error:
        raise ModelContractMismatch(f"{path.name} is not a graph that ONNX Runtime can open: {error}") from error
    if providers[0] not in session.get_providers():
        raise ProviderUnavailable(
            f"{providers[0]} did not start; ONNX Runtime fell back to {', '.join(session.get_providers())}.",
            "Check the driver and the CUDA libraries, or choose the CPU.",
        )
    return session
