"""A household of the test data whose scenes are scanned, whose performers are enrolled, and analyzers over both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipelines.analyzers.base import BaseAnalyzer
from pipelines.analyzers.run import AnalysisReport, analyze
from pipelines.faces.catalogue import OPEN
from pipelines.faces.gallery import Performer
from pipelines.identify_media import analyze_image
from pipelines.rematch import rematch
from pipelines.store.performers import SourceInfo
from pipelines.store.recommendation_records import Recommendation, RecommendationFilter
from pipelines.store.recommendations import RecommendationStore
from pipelines.store.sql import open_store
from pipelines.store.tables import face_table
from tests.pipelines.local_home import Home, quick_library


class PeopleHome(Home):
    """`Home` whose faces are matched and analyzed."""

    def matched(self, **enrolment: Any) -> None:
        """Enrols what changed and matches all scans with it."""
        self.enroll(**enrolment)
        rematch(self.settings)

    def analyze(self, kind: type[BaseAnalyzer[Any, Any]], *, full: bool = False) -> AnalysisReport:
        return analyze(self.settings, kind, full=full, library_opener=quick_library)

    def found(self, kind: type[BaseAnalyzer[Any, Any]], *statuses: Any) -> list[Recommendation]:
        """Returns the recommendations of an analyzer, the pending ones by default; their details fit its model."""
        store = open_store(self.settings.store_url)
        try:
            wanted = RecommendationFilter(types=(kind.id,), statuses=statuses or ("pending",))
            page = RecommendationStore(store).page(wanted, limit=500)
        finally:
            store.close()
        for one in page.recommendations:
            kind.details.model_validate(one.details)
        return page.recommendations

    def looked(self, kind: type[BaseAnalyzer[Any, Any]], *, full: bool = False) -> list[Recommendation]:
        """Runs an analyzer and returns what is pending then."""
        self.analyze(kind, full=full)
        return self.found(kind)

    def tag(self, scene: str, *performers: str) -> None:
        """Tags performers on a scene in place of those that are, as a person does in Stash."""
        with self.stash.library.lock:
            self.stash.library.scenes[int(scene)].performer_ids = tuple(map(int, performers))
        self.touch("scene", scene)

    def enrol_box(self, people: Mapping[Performer, str]) -> None:
        """Enrols people of stash-boxes, each with a photo of tests/data/faces/people."""
        photos = [self.scans.data / "faces" / "people" / photo for photo in people.values()]
        templates = np.stack([analyze_image(photo, self.scans.engine)[0].template for photo in photos])
        columns = {
            "universal_id": [person.universal_id for person in people],
            "source": [photo.name for photo in photos],
            **{name: [None] * len(people) for name in ("source_sha256", "quality", "yaw_deg", "detection_score")},
        }
        source = SourceInfo(id="stashdb.org", kind="stashbox", updated=datetime.now(UTC))
        self.database.put(OPEN, source, list(people), face_table(columns, templates))
