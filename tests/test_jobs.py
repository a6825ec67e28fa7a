"""The types of jobs: the registry, parameters, and that knowing and supervising them imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.errors import InputError, JobUnknown
from pipelines.job_runner import RATE_WINDOW_S, ProgressMeter
from pipelines.jobs import PRIORITIES, REGISTRY, JobType, NoParams, job_type, named_function

HEAVY = ("cv2", "faiss", "onnxruntime", "pyarrow", "av", "pandas", "ray.data", "scipy")


def test_the_registry():
    assert {"scan", "rematch", "compact_scans"} <= set(REGISTRY)
    assert all(kind.id == key and kind.priority in PRIORITIES for key, kind in REGISTRY.items())
    with pytest.raises(JobUnknown, match="nonsense"):
        job_type("nonsense")


@pytest.mark.parametrize("kind", REGISTRY.values(), ids=REGISTRY.keys())
def test_every_function_that_a_type_names_exists(kind: JobType):
    assert callable(named_function(kind.run))
    if kind.due:
        assert callable(named_function(kind.due))


def test_parameters_are_checked_by_field():
    scan = job_type("scan")
    assert scan.parse({"ids": ["1", "2"], "newest_first": True}).model_dump(exclude_unset=True) == {
        "ids": ("1", "2"),
        "newest_first": True,
    }
    for wrong, field in [({"limit": 0}, "limit"), ({"kinds": ["video"]}, "kinds"), ({"nonsense": 1}, "nonsense")]:
        with pytest.raises(InputError, match=rf"params\.{field}"):
            scan.parse(wrong)
    with pytest.raises(InputError):
        job_type("compact_scans").parse({"a": 1})


@pytest.mark.parametrize(
    "wrong",
    [{"priority": 7}, {"intervals": (1, 2)}, {"default_interval_hours": 3, "intervals": (1, 2)}],
)
def test_types_that_contradict_themselves_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"priority|default"):
        JobType("a", "A", "", "a:b", **wrong)


def test_parameters_default_to_none_at_all():
    assert JobType("a", "A", "", "a:b").parse({}) == NoParams()


@pytest.mark.parametrize("module", ["serve_app.deployments.jobs", "pipelines.job_runner", "pipelines.rematch_due"])
def test_supervising_imports_nothing_heavy(module: str):
    """Each process of the server is on the way of its start; what Ray Serve itself imports cannot be helped."""
    script = (
        f"import sys, ray.serve; before = set(sys.modules); import {module}\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules and m not in before])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_rate_and_time_left_follow_the_last_minute():
    now = [0.0]
    meter = ProgressMeter(lambda: now[0])
    meter.report(0, None, {})
    assert (meter.now().rate_per_s, meter.now().eta_s) == (None, None)
    now[0] = 10
    meter.report(20, 100, {"failed": 1})
    assert (meter.now().rate_per_s, meter.now().eta_s, meter.now().counts) == (2.0, 40.0, {"failed": 1})
    for _ in range(10):
        now[0] += RATE_WINDOW_S / 5
        meter.report(meter.now().done + 6, 100, {})
    assert meter.now().rate_per_s == pytest.approx(0.5)
    assert meter.now().eta_s == pytest.approx(40)
