"""Keeps Ray Serve from importing pandas, which it does in every process wherever pandas is installed.

Serve only wants to know how a DataFrame is written as JSON; no answer of this application holds one. Ray Data needs
pandas, so it is installed, and `import ray.serve` took 65 MB and a fifth of its time more in each of eight processes
(own measurement, 2026-11-23). Everybody else in the same process still gets pandas.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ASKING = "ray.serve._private.utils"
WORKER_HOOK_VARIABLE = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
"""Names the function that Ray's workers call first; `ray._private.ray_constants` has it."""
WORKER_HOOK = f"{__name__}.install"


class _NotForServe(MetaPathFinder):
    """Finds nothing itself; says that there is no pandas while the module that asks is being imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - signature of importlib
        target: ModuleType | None = None,  # noqa: ARG002 - signature of importlib
    ) -> ModuleSpec | None:
        asking = sys.modules.get(ASKING)
        if fullname == "pandas" and asking is not None and getattr(asking.__spec__, "_initializing", False):
            raise ModuleNotFoundError("Ray Serve needs no pandas here.", name=fullname)
        return None


def install() -> None:
    """Takes effect in this process, from the next import of Ray Serve on."""
    if not any(isinstance(finder, _NotForServe) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NotForServe())
