"""How people are named with the settings in force, and a digest of it; light enough for a supervisor to import.

Lives here: settings to `IdentifyOptions`, and what a match depends on besides the faces and the performer database.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from pipelines.faces.catalogue import get_pack
from pipelines.faces.options import IdentifyOptions
from pipelines.settings import Settings

MATCHING_RULES = 1
"""Raised by whoever changes how faces are grouped, ranked or named: everything stored is matched anew then."""
_ENOUGH_HEX = 12


def identify_options(settings: Settings) -> IdentifyOptions:
    """Returns how people are named. Raises InputError."""
    return IdentifyOptions(top_k=settings.top_k, min_unique_frames=settings.min_unique_frames)


def options_digest(settings: Settings) -> str:
    """Returns 12 hex digits over all that decides who stored faces are, besides the database. Raises PackUnknown.

    The boost of tagged performers is not in it: stored matches are made without it, because who is tagged changes in
    Stash at any time. Online answers add it to the stored faces when they are asked.
    """
    pack = get_pack(settings.pack)
    options = asdict(identify_options(settings))
    del options["tagged_boost"]
    parts = {
        "rules": MATCHING_RULES,
        "options": options,
        "template": pack.template_id,
        "weights": [e.weight for e in pack.embedders],
        "centre": pack.centre,
        "calibration": {name: v for name, v in asdict(pack.calibration).items() if name != "provenance"},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_ENOUGH_HEX]
