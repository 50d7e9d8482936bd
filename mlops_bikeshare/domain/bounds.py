"""What a setting may be: said once, beside its type, for the check, the message and the page.

A setting is `Annotated[int, "what it means", Between(1, 9)]`. Its `words` follow "a whole number"
in messages and in docs/settings.md. Numbers that are not finite are never allowed.
"""

import math
import re
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from mlops_bikeshare.domain.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both included."""

    low: float
    high: float = math.inf

    @property
    def words(self) -> str:
        """Such as `from 0 to 65535`."""
        return f"of at least {self.low}" if self.high == math.inf else f"from {self}"

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"

    def holds(self, value: Any) -> bool:
        """Whether the number lies between."""
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True, slots=True)
class Spelt:
    """A text that matches a pattern as a whole; `words` say it for people."""

    pattern: str
    words: str

    def holds(self, value: Any) -> bool:
        """Whether the text is spelt like that."""
        return re.fullmatch(self.pattern, value) is not None


Bound = Between | Spelt
# Names become folders, endpoints and registered models: nothing that could leave or hide there.
NAME = Spelt(r"[a-z0-9][a-z0-9-]*", "of lower-case letters, digits and hyphens")
CLOCK_TIME = Spelt(r"([01]\d|2[0-3]):[0-5]\d", "such as 22:00")
COUNTRY = Spelt(r"[A-Z]{2}", "of two capital letters such as US")


def convert(name: str, value: Any, hint: Any, origin: str) -> Any:
    """Bring `value` to the annotated type and within its bounds, or say what was expected."""
    plain, _, *bounds = typing.get_args(hint)
    if typing.get_origin(plain) is Literal:
        if value in typing.get_args(plain):
            return value
        expected = " or ".join(typing.get_args(plain))
    else:
        union = isinstance(plain, types.UnionType)
        kind = next(a for a in typing.get_args(plain) if a is not type(None)) if union else plain
        words = {str: "text", int: "a whole number", float: "a number"}[kind]
        expected = " ".join([words, *(bound.words for bound in bounds)])
        try:
            if not isinstance(value, bool) and (kind is not int or float(value) % 1 == 0):
                converted = kind(value)
                if _is_finite(converted) and all(bound.holds(converted) for bound in bounds):
                    return converted
        except (TypeError, ValueError):
            pass
    raise SettingsError(f"{name}: expected {expected}, got {value!r} ({origin})")


def _is_finite(value: str | float) -> bool:
    return isinstance(value, str) or math.isfinite(value)
