"""A summary of the hardware: cheap to ask for, imports no engine. Every function blocks for milliseconds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import psutil

from pipelines.machine import cores

MB = 1_000_000
NVIDIA_CARDS = Path("/proc/driver/nvidia/gpus")


def this_machine(data_dir: Path) -> dict[str, Any]:
    """Returns cores, memory, GPUs and free storage of the machine that this process runs on."""
    memory = psutil.virtual_memory()
    folder = next(p for p in (data_dir, *data_dir.parents) if p.exists())
    return {
        "cpu_cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "cpu_threads": psutil.cpu_count(),
        "usable_cpus": cores(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "memory_total_mb": memory.total // MB,
        "memory_available_mb": memory.available // MB,
        "storage_free_mb": shutil.disk_usage(folder).free // MB,
        "gpus": gpu_names(),
    }


def gpu_names(cards: Path = NVIDIA_CARDS) -> list[str]:
    """Returns the models of the NVIDIA cards that the driver shows, in order; empty without one."""
    names = []
    for card in sorted(cards.glob("*/information")):
        facts = dict(line.split(":", 1) for line in card.read_text().splitlines() if ":" in line)
        names.append(facts.get("Model", "unknown").strip())
    return names


def ray_nodes() -> dict[str, Any]:
    """Returns what Ray's living nodes have, and what of it is free."""
    import ray

    free, all_of_it = ray.available_resources(), ray.cluster_resources()
    return {
        "nodes": sum(1 for node in ray.nodes() if node["Alive"]),
        "cpus": all_of_it.get("CPU", 0.0),
        "cpus_free": free.get("CPU", 0.0),
        "gpus": all_of_it.get("GPU", 0.0),
        "gpus_free": free.get("GPU", 0.0),
        "accelerators": sorted(n.removeprefix("accelerator_type:") for n in all_of_it if n.startswith("accelerator")),
    }
