import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.risk import LOW, PALETTES, UNKNOWN, Theme, legend, radius, shades

CHANCES = st.floats(0, 1) | st.just(math.nan)
EVERY = [UNKNOWN, LOW, *(f"{t}-{i}" for t in ("bikeout", "dockout") for i in range(1, 5))]


def shade(bikeout: float, dockout: float) -> str:
    return shades(pd.DataFrame({"p_bikeout": [bikeout], "p_dockout": [dockout]}))[0]


@pytest.mark.parametrize(
    ("bikeout", "dockout", "expected"),
    [
        (0.19, 0.0, LOW),
        (0.2, 0.1, "bikeout-1"),
        (0.1, 0.4, "dockout-2"),
        (0.6, 0.7, "dockout-3"),
        (1.0, 0.0, "bikeout-4"),
        (math.nan, 0.8, "dockout-4"),
        (math.nan, math.nan, UNKNOWN),
    ],
)
def test_the_likelier_stockout_gives_the_colour(
    bikeout: float, dockout: float, expected: str
) -> None:
    assert shade(bikeout, dockout) == expected


@given(CHANCES, CHANCES)
def test_bikes_and_docks_mirror_each_other(bikeout: float, dockout: float) -> None:
    if bikeout == dockout:
        return
    swapped = {"bikeout": "dockout", "dockout": "bikeout"}
    name, _, step = shade(bikeout, dockout).partition("-")
    assert shade(dockout, bikeout) == (f"{swapped[name]}-{step}" if step else name)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_shade_has_its_own_colour_and_risk_grows_the_dot(theme: Theme) -> None:
    assert len({PALETTES[theme].fill(name) for name in EVERY}) == len(EVERY)
    assert radius(LOW) < radius("bikeout-1") < radius("bikeout-4") == radius("dockout-4")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_the_two_stockouts_differ_in_lightness_from_the_ground(
    theme: Theme,
) -> None:
    palette = PALETTES[theme]
    for line in palette.lines.values():
        assert _contrast(line, palette.ground) >= 3


def test_the_legend_names_both_stockouts_and_the_horizon() -> None:
    text = re.sub("<style>.*?</style>|<[^>]+>", " ", legend("light", horizon_min=40))
    for words in ("Out of bikes", "Out of docks", "80%", "no prediction", "40 min"):
        assert words in text


def _contrast(a: str, b: str) -> float:
    """WCAG 2.1 contrast ratio."""
    dark, light = sorted((_luminance(a), _luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
