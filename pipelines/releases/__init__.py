"""Released performer databases of others: looked at, verified, imported, and kept up to date.

Lives here: the door to importing. `inspect` says what a bundle is, `import_release` takes it over. Which files a bundle
has is `files`, their formats are `stash_sense`, `stash_sense2`, `delta` and `links`; zips are `archive`. Finding and
downloading releases is `update` and its neighbours.
"""

from __future__ import annotations

from pipelines.releases.facts import SKIPPED, ImportReport, ImportStep, ReleaseFacts, ReleaseKind
from pipelines.releases.files import inspect
from pipelines.releases.importing import import_release

__all__ = ["SKIPPED", "ImportReport", "ImportStep", "ReleaseFacts", "ReleaseKind", "import_release", "inspect"]
