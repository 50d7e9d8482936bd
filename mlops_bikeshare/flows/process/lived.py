"""What became of cities in live mode: what came in, what was lost and why.

Input    `Polled` and failures as they come. Output: `Lived`, and a line a city for people.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

_MOST_REASONS = 30


@dataclass(slots=True, kw_only=True)
class Lived:
    """What became of one city; `lost` counts failed polls by reason.

    `closed`: the day on which the features and objects of the days before were made.
    """

    city: str
    polls: int = 0
    unchanged: int = 0
    rows: int = 0
    refused: int = 0
    repeated: int = 0
    skipped: int = 0
    caught_up: int = 0
    batches: int = 0
    failed_jobs: int = 0
    only_collected: bool = False
    closed: date | None = None
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, failure: str) -> None:
        """Count a failed poll by the kind of its failure."""
        reason = _reason(failure)
        if reason not in self.lost and len(self.lost) >= _MOST_REASONS:
            reason = "other"
        self.lost[reason] = self.lost.get(reason, 0) + 1


def summary(lived: Sequence[Lived]) -> str:
    """What came in and what was lost."""
    return "\n".join(map(_line, lived))


def _line(done: Lived) -> str:
    lost = sum(done.lost.values()) + done.skipped
    came = f"{done.city}: {done.polls:,} polls, {done.rows:,} rows, {done.batches:,} batches"
    aside = f"{done.refused:,} rows refused, {done.repeated:,} repeated"
    reasons = [f"{count} x {reason}" for reason, count in sorted(done.lost.items())]
    reasons += [f"{done.skipped} x skipped: the loop was late"] if done.skipped else []
    why = f" ({'; '.join(reasons)})" if reasons else ""
    failed = f"; {done.failed_jobs:,} jobs failed" if done.failed_jobs else ""
    return f"{came}; {aside}; {lost} polls lost{why}{failed}"


def _reason(failure: str) -> str:
    """The kind of a failure: without the address, and the details of one document."""
    return re.split(r" \(|: it begins", re.sub(r"https?://\S+: ", "", failure))[0][:80]
