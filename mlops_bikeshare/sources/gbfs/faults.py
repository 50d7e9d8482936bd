"""What feeds do wrong, on request: a plan of faults that the replayed feed works off.

Input    faults asked for by kind, feed and number of times; or a share of requests and a seed.
Output   the fault of the next request, if any.
Raises   InputError, naming the kinds, for one that is not known.

The kinds: `timeout` (no answer until the client gives up), `error_500`, `truncated` (the connection
breaks in the middle of the body), `cut` (half of the JSON), `html` (a page with status 200),
`frozen` (the document of the first such answer again), `duplicated` (stations listed twice, an old
report beside the new one), `skew` (the feed's clock is an hour ahead), `vanished` (a tenth of
the stations is missing), `not_modified` (304 to whoever sent validators), `bad_rows` (negative and
garbled counts in a few rows).
"""

import random
from collections import defaultdict, deque
from typing import Literal, get_args

from mlops_bikeshare.domain.errors import InputError

Kind = Literal[
    "timeout",
    "error_500",
    "truncated",
    "cut",
    "html",
    "frozen",
    "duplicated",
    "skew",
    "vanished",
    "not_modified",
    "bad_rows",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
# After these nothing usable has reached the client.
UNDELIVERED: frozenset[str] = frozenset({"timeout", "error_500", "truncated", "cut", "html"})


def kind(name: str) -> Kind:
    """The kind called `name`."""
    for known in KINDS:
        if name == known:
            return known
    raise InputError(f"fault {name!r} is not known; choose from {', '.join(KINDS)}")


class Faults:
    """The plan: asked-for faults first, in order, then by chance."""

    def __init__(self, *, share: float = 0.0, seed: int = 0) -> None:
        if not 0 <= share <= 1:
            raise InputError(f"a share of faults lies between 0 and 1, got {share}")
        self._share = share
        self._random = random.Random(seed)  # noqa: S311 - chance, not a secret
        self._planned: dict[str, deque[Kind]] = defaultdict(deque)

    def plan(self, fault: str, *, feed: str, times: int = 1) -> None:
        """Let the next `times` requests for `feed` go wrong."""
        self._planned[feed].extend([kind(fault)] * times)

    def clear(self) -> None:
        """Forget what was asked for."""
        self._planned.clear()

    def next(self, feed: str) -> Kind | None:
        """The fault of this request."""
        if self._planned[feed]:
            return self._planned[feed].popleft()
        if self._random.random() < self._share:
            return self._random.choice(KINDS)
        return None

    @property
    def waiting(self) -> dict[str, list[Kind]]:
        """What was asked for and has not happened yet."""
        return {feed: list(kinds) for feed, kinds in self._planned.items() if kinds}
