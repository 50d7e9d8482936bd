"""How values are said to people: unknown is a word, and a password is never shown."""

import re


def figure(value: float | None, *, digits: int = 3) -> str:
    """A score or share with so many digits; None is unknown."""
    return "unknown" if value is None else f"{value:.{digits}f}"


def plain(value: float) -> str:
    """A number with four digits that matter, never in powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits


def masked(text: str) -> str:
    """Without the name and password that an address may carry: all up to its last `@` goes.

    A password may itself hold `@` and `/`; hiding part of a path is the lesser harm.
    """
    return re.sub(r"://\S+@", "://***@", text)
