"""`python -m tests.bench NAME [--json FILE] [--quick]`: runs one benchmark, prints its table, writes its figures."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
from pathlib import Path

from rich.console import Console

import tests.bench
from tests.bench.report import Options, Report

REPOSITORY = Path(__file__).parents[2]
NOT_BENCHMARKS = {
    "__main__",
    "report",
    "old_way",
    "old_identify",
    "media_files",
    "duplicate_set",
    "duplicate_render",
    "process_memory",
    "odd_files",
    "scan_library",
    "scan_sides",
    "scan_stash",
    "match_library",
    "swap_load",
}


def names() -> list[str]:
    """Returns the names of all benchmarks, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(tests.bench.__path__) if m.name not in NOT_BENCHMARKS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=names())
    parser.add_argument("--json", type=Path, help="write a list of {metric, value, unit, baseline, ratio, machine}")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that it runs, the figures mean nothing"
    )
    arguments = parser.parse_args()
    data_dir = Path(os.environ.get("STASH_SENSE_DATA_DIR", REPOSITORY / ".data"))
    models_dir = Path(os.environ.get("STASH_SENSE_MODELS_DIR", data_dir / "models"))
    eval_data = os.environ.get("STASH_SENSE_EVAL_DATA")
    options = Options(
        quick=arguments.quick,
        models=models_dir / "open",
        eval_data=Path(eval_data) if eval_data else None,
        workdir=data_dir / "bench",
    )
    options.workdir.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.name)
    importlib.import_module(f"tests.bench.{arguments.name}").run(report, options)
    report.print(Console())
    if arguments.json:
        report.write_json(arguments.json)


if __name__ == "__main__":
    main()
