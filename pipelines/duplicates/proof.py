"""Whether the pictures of two files are the same footage, and which part of each.

Two short files are compared at all offsets. Of longer ones, windows of the shorter file are looked for among the key
frames of the longer one, and only what lies around a likely place is decoded. Either way at most
`ProofLimits.most_decoded_s` seconds of a pair are decoded beside key frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from pipelines.duplicates.align import Match, best_match
from pipelines.duplicates.evidence import EvidenceCache
from pipelines.duplicates.footage import Footage
from pipelines.duplicates.grid import Grid
from pipelines.duplicates.motion import motion_residual
from pipelines.duplicates.rule import MOST_D, Seen, decide
from pipelines.duplicates.search import Found, search
from pipelines.duplicates.types import Alignment, Proof, ProofRequest, SceneVideo
from pipelines.errors import MediaError, MediaNotFound, MediaTimeout, MediaUnreachable
from pipelines.media.video import HttpSource

PROOF_VERSION = 3
"""Changes whenever the proof of the same files may come out differently."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """What the proof of one pair may cost.

    Attributes:
        timeout_s: for opening and decoding one file.
        whole_s: files up to this long are decoded whole when both are.
        windows, window_s: of a longer file this many windows of this length are decoded.
        guesses: places at which the windows are looked for before a pair is called different.
    """

    timeout_s: float = 600.0
    whole_s: float = 420.0
    windows: int = 6
    window_s: float = 30.0
    guesses: int = 4

    def __post_init__(self) -> None:
        if not (self.timeout_s > 0 and 60 <= self.whole_s <= 1200 and self.windows >= 2 and self.window_s >= 25):
            raise ValueError(f"limits of a proof: {self}")

    @property
    def most_decoded_s(self) -> float:
        """Seconds of video that one pair may cost, key frames aside."""
        around = self.window_s + 2 * SLACK_S
        return max(2 * self.whole_s, self.windows * self.window_s + (self.guesses + self.windows) * around)


SLACK_S = 6.0
"""Decoded before and after the place where a window is likely to be."""

DEFAULT_LIMITS = ProofLimits()


def prove(request: ProofRequest, cache: EvidenceCache | None = None, limits: ProofLimits = DEFAULT_LIMITS) -> Proof:
    """Returns what the pictures say; a file that cannot be read makes an undecided proof with the reason."""
    return next(prove_all([request], cache, limits))


def prove_all(
    requests: Iterable[ProofRequest], cache: EvidenceCache | None = None, limits: ProofLimits = DEFAULT_LIMITS
) -> Iterator[Proof]:
    """Yields the proof of each pair, in order. A file that several pairs in a row have in common is opened once."""
    with ExitStack() as stack:
        kept: tuple[SceneVideo, Footage] | None = None
        for request in requests:
            if kept is None or kept[0] != request.a:
                stack.close()
                kept = (request.a, stack.enter_context(Footage(request.a, cache, limits.timeout_s)))
            with Footage(request.b, cache, limits.timeout_s) as b:
                kept[1].restart_clock()
                found = _proof(request, kept[1], b, limits)
            if found.failure:  # what broke may be this file's connection, so the next pair opens it again
                kept = None
            yield found


def _proof(request: ProofRequest, a: Footage, b: Footage, limits: ProofLimits) -> Proof:
    try:
        seen = _compare(request, a, b, limits)
        durations = (a.duration_s, b.duration_s)
    except MediaError as error:
        return Proof(
            "undecided",
            failure=f"{error.code}: {error.message}",
            retryable=_may_pass(error, request),
            version=PROOF_VERSION,
        )
    if seen is None:
        return Proof("undecided", version=PROOF_VERSION)
    return replace(decide(seen, *durations), version=PROOF_VERSION)


def _may_pass(error: MediaError, request: ProofRequest) -> bool:
    if isinstance(error, MediaTimeout):
        return any(isinstance(video.source, HttpSource) for video in (request.a, request.b))
    return isinstance(error, (MediaUnreachable, MediaNotFound))


def _compare(request: ProofRequest, a: Footage, b: Footage, limits: ProofLimits) -> Seen | None:
    if max(a.duration_s, b.duration_s) <= limits.whole_s:
        return _whole(a.grid(0, a.duration_s), b.grid(0, b.duration_s))
    swapped = a.duration_s > b.duration_s
    short, long = (b, a) if swapped else (a, b)
    hints = [-o if swapped else o for o in request.hints.offsets_s]
    found = search(short, long, hints, limits.windows, limits.window_s, limits.guesses, SLACK_S)
    if found is None:
        return None
    return _swapped(_of(found)) if swapped else _of(found)


def _whole(a: Grid, b: Grid) -> Seen | None:
    match = best_match(a, b)
    if match is None:
        return None
    return Seen(
        match.d,
        match_motion(a, b, match) if match.d <= MOST_D else None,
        match.evidence_s,
        Alignment(match.offset_s, match.speed, match.mirrored, match.a_s, match.b_s),
    )


def match_motion(a: Grid, b: Grid, match: Match) -> float | None:
    """Returns the motion residual over all that continues the best window, else over the window itself."""
    for span_s in (match.a_s, match.window_s):
        found = motion_residual(a, b, span_s, match.offset_s, match.speed, mirrored=match.mirrored, views=match.views)
        if found is not None:
            return found
    return None


def _of(found: Found) -> Seen:
    return Seen(found.d, found.r, found.evidence_s, found.alignment)


def _swapped(seen: Seen) -> Seen:
    """Returns the same with a and b in each other's place."""
    if seen.alignment is None:
        return seen
    where = seen.alignment
    turned = Alignment(-where.offset_s / where.speed, 1 / where.speed, where.mirrored, where.b, where.a)
    return replace(seen, alignment=turned)
