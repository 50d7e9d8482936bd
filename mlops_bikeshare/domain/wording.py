"""How values are said to people: unknown is a word, and a password is never shown."""

import re
from urllib.parse import unquote


def figure(value: float | None, *, digits: int = 3) -> str:
    """A score or share with so many digits; None is unknown."""
    return "unknown" if value is None else f"{value:.{digits}f}"


def plain(value: float) -> str:
    """A number with four digits that matter, never in powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits


def masked(text: str) -> str:
    """Without the name and password that an address may carry: all up to its last `@` goes.

    A password may itself hold `@` and `/`; hiding part of a path is the lesser harm. One that is
    named goes too (`?password=…`).
    """
    return re.sub(r"(?i)(password=)[^\s&'\"]+", r"\1***", re.sub(r"://\S+@", "://***@", text))


def masked_of(text: str, *, address: str) -> str:
    """The same, and without any part of the address's password: a library may have cut it in two.

    libpq takes what follows a password's own `@` for the host, and names what it cannot decode.
    """
    carried = re.search(r"://[^:/@]*:(\S+)@|[?&]password=([^\s&]+)", address)
    secret = (carried[1] or carried[2]) if carried else ""
    pieces = {piece for whole in (secret, unquote(secret)) for piece in re.split(r"[@/:?#]", whole)}
    for piece in sorted({secret, unquote(secret), *pieces} - {""}, key=len, reverse=True):
        text = text.replace(piece, "***")
    return masked(text)
