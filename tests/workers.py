"""How `make test` divides the tests between two processes (pytest-xdist), so that one waits while the other computes.

Files that share what takes seconds to start (a server, a browser, a PostgreSQL) run in one process; every other file
goes to whichever is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

FIRST = (
    "tests/serve_app/",
    "tests/plugin/",
    "tests/serve_app/test_jobs_engine.py",
    "tests/serve_app/test_cli_scan.py",
    "tests/pipelines/test_enroll_stashbox.py",
    "tests/pipelines/test_scan.py",
    "tests/store/",
)
"""What runs in one process, the longest first, so that both end together; the longest name that fits counts."""


def group(path: str) -> str:
    """Returns the group of a test file: the files that run in one process with it."""
    return max((prefix for prefix in FIRST if path.startswith(prefix)), key=len, default=path)


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(FIRST)}
        items.sort(key=lambda item: places.get(group(_file(item.nodeid)), len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(_file(nodeid))

    config.option.loadscopereorder = False
    return ByGroup(config, log)
