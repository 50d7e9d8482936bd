"""How risk looks: two colour-blind-safe scales, one per stockout, and their legend.

Input    probabilities in [0, 1], NaN where unknown.
Output   for each station a shade: "unknown", "low", or a target's name with its step 1 to 4.
Method   ColorBrewer's Oranges and Blues, which people with any colour vision tell apart; the
         dots also grow with risk, so that grey print works too. On dark ground light is risky.
"""

from bisect import bisect_right
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING, Literal

from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT

if TYPE_CHECKING:
    import pandas as pd

Theme = Literal["light", "dark"]
STEPS = (0.2, 0.4, 0.6, 0.8)
WORDS = {BIKEOUT.name: "out of bikes", DOCKOUT.name: "out of docks"}
UNKNOWN, LOW = "unknown", "low"
_RADIUS = {UNKNOWN: 3.5, LOW: 4.0, "1": 5.0, "2": 6.0, "3": 7.0, "4": 8.5}


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours on one ground; `scales` run from step 1 to step 4, `tiles`: CSS for street tiles."""

    ground: str
    tiles: str
    outline: str
    ink: str
    low: str
    scales: dict[str, tuple[str, str, str, str]]

    def fill(self, shade: str) -> str:
        """The fill of a shade; unknown stations are hollow."""
        if shade in {UNKNOWN, LOW}:
            return self.low if shade == LOW else self.ground
        target, step = shade.rsplit("-", maxsplit=1)
        return self.scales[target][int(step) - 1]

    @property
    def lines(self) -> dict[str, str]:
        """One colour per target, for lines and words."""
        return {target: scale[2] for target, scale in self.scales.items()}


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        ground="#f1f4f7",
        tiles="grayscale(0.7)",
        outline="#5b6672",
        ink="#111820",
        low="#c2cad3",
        scales={
            BIKEOUT.name: ("#fdbe85", "#fd8d3c", "#d94801", "#8c2d04"),
            DOCKOUT.name: ("#9ecae1", "#5aa3d6", "#2171b5", "#08306b"),
        },
    ),
    "dark": Palette(
        ground="#1b2027",
        tiles="invert(1) grayscale(0.8) brightness(0.9)",
        outline="#8a94a0",
        ink="#ffffff",
        low="#4d5661",
        scales={
            BIKEOUT.name: ("#8c4312", "#c9600f", "#fd9a4c", "#ffd3a6"),
            DOCKOUT.name: ("#1f5789", "#3182c4", "#6db4ec", "#c6e4ff"),
        },
    ),
}


def shades(rows: "pd.DataFrame") -> list[str]:
    """The shade of each row with p_bikeout and p_dockout, by the likelier of the two."""
    chances = zip(rows[BIKEOUT.probability], rows[DOCKOUT.probability], strict=True)
    return [_shade(bikeout, dockout) for bikeout, dockout in chances]


def _shade(bikeout: float, dockout: float) -> str:
    known = {
        target: p
        for target, p in ((BIKEOUT.name, bikeout), (DOCKOUT.name, dockout))
        if not isnan(p)
    }
    if not known:
        return UNKNOWN
    target = max(known, key=known.__getitem__)
    step = bisect_right(STEPS, known[target])
    return f"{target}-{step}" if step else LOW


def radius(shade: str) -> float:
    """Radius of a dot, in CSS pixels."""
    return _RADIUS[shade.rsplit("-", maxsplit=1)[-1]]


def legend(theme: Theme, *, horizon_min: int, which: str = "either") -> str:
    """The legend as HTML: which colour is which stockout, and how likely."""
    palette = PALETTES[theme]
    bounds = [*(f"{step:.0%}" for step in STEPS), "100%"]
    rows = []
    for target, words in WORDS.items():
        if which in WORDS and target != which:
            continue
        dots = "".join(
            _key(palette, f"{target}-{i}", f"{low}\N{EN DASH}{high}")
            for i, (low, high) in enumerate(pairwise(bounds), start=1)
        )
        rows.append(f'<div class="row"><b>{escape(words.capitalize())}</b>{dots}</div>')
    others = "".join(
        _key(palette, shade, words)
        for shade, words in ((LOW, f"below {STEPS[0]:.0%}"), (UNKNOWN, "no prediction"))
    )
    rows.append(f'<div class="row"><b>Neither</b>{others}</div>')
    told = "" if which in WORDS else "; a dot shows the likelier of the two"
    about = f"Chance in {horizon_min} min{told}."
    return f'<div class="risk-legend">{_STYLE}{"".join(rows)}<div>{about}</div></div>'


def _key(palette: Palette, shade: str, words: str) -> str:
    size = f"width:{2 * radius(shade)}px;height:{2 * radius(shade)}px"
    look = f"{size};background:{palette.fill(shade)};border:1px solid {palette.outline}"
    return f'<span class="key"><span class="dot" style="{look}"></span>{escape(words)}</span>'


_STYLE = (
    "<style>.risk-legend{font-size:.85rem;line-height:1.7}"
    ".risk-legend .row{display:flex;flex-wrap:wrap;align-items:center;gap:.1rem .8rem}"
    ".risk-legend b{min-width:6.2rem}"
    ".risk-legend .key{display:inline-flex;align-items:center;gap:.35rem;white-space:nowrap}"
    ".risk-legend .dot{border-radius:50%;box-sizing:border-box;flex:none}</style>"
)
