"""Charts of series by time: the city's clock on the axis, UTC in the tooltip.

Input    frames with `at` (aware), `value` and a column that tells the lines apart.
Output   Altair charts; lines differ by colour (Okabe and Ito's, which people with any colour vision
         tell apart) and by dash, so that grey print works too. Where nothing is known for thrice
         the usual step a line ends, and begins again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from dashboards.risk import PALETTES, Theme
from dashboards.wording import both_zones

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

_COLOURS: dict[Theme, tuple[str, ...]] = {
    "light": ("#0072b2", "#b34700", "#00734f", "#8f3f71", "#5b6672"),
    "dark": ("#56b4e9", "#e69f00", "#2fbf8f", "#cc79a7", "#a0aab4"),
}
# As many as there are not colours: twenty lines differ by the two together.
_DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))
_HOURS = {"hours": "%H:%M", "minutes": "%H:%M"}  # days stay named as they are
_GAP_STEPS, _LEAST_GAP_S, _LONG_NAME = 3, 900, 18
_CLOCK = "%Y-%m-%dT%H:%M:%SZ"


def timed(rows: "pd.DataFrame", zone: ZoneInfo) -> "pd.DataFrame":
    """`clock` for the axis, the city's time written as if it were UTC; `time` for the tooltip."""
    if rows.empty:
        return rows.assign(clock=[], time=[])
    # The axis is in UTC as well, so that no browser shifts it to its own zone.
    return rows.assign(
        clock=rows["at"].dt.tz_convert(zone).dt.strftime(_CLOCK),
        time=[both_zones(at.to_pydatetime(), zone) for at in rows["at"]],
    )


def parted(rows: "pd.DataFrame", *, by: str) -> "pd.DataFrame":
    """By time, with a row without a value inside each gap, so that no line is drawn across it."""
    import pandas as pd

    found = []
    for name, mine in rows.sort_values("at").groupby(by):
        steps = mine["at"].diff()
        least = pd.Timedelta(seconds=_LEAST_GAP_S)
        wide = steps > max(_GAP_STEPS * steps.median(), least) if len(mine) > 1 else steps.notna()
        middle = mine.loc[wide, "at"] - steps[wide] / 2
        found += [mine, pd.DataFrame({"at": middle, by: name, "value": float("nan")})]
    return pd.concat(found, ignore_index=True).sort_values("at") if found else rows


def lines(
    rows: "pd.DataFrame",
    *,
    by: str,
    zone: ZoneInfo,
    theme: Theme,
    title: str,
    number: str = ".3f",
    limit: float | None = None,
    limit_says: str = "limit",
    marks: "pd.DataFrame | None" = None,
    order: Sequence[str] | None = None,
    zero: bool = False,
) -> "alt.LayerChart":
    """One line for each value of the column `by`; `marks` (at, what) are upright rules."""
    import altair as alt

    names = list(order or sorted(rows[by].unique()))
    colours, dashes = _COLOURS[theme], _DASHES
    hue = alt.Scale(domain=names, range=[colours[i % len(colours)] for i in range(len(names))])
    dash = alt.Scale(domain=names, range=[list(dashes[i % len(dashes)]) for i in range(len(names))])
    key = alt.Legend(
        orient="top", symbolType="stroke", symbolSize=300, columns=_columns(names), labelLimit=260
    )
    base = alt.Chart(timed(parted(rows, by=by), zone)).encode(
        x=clock_axis(),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=zero), axis=alt.Axis(format=number)),
        color=alt.Color(f"{by}:N", title=None, scale=hue, legend=key),
        tooltip=[
            alt.Tooltip(f"{by}:N", title="Series"),
            alt.Tooltip("value:Q", title=title, format=number),
            alt.Tooltip("time:N", title="Time"),
        ],
    )
    drawn = base.mark_line(strokeWidth=2).encode(
        strokeDash=alt.StrokeDash(f"{by}:N", title=None, scale=dash)
    )
    layers = [drawn, base.mark_point(filled=True, size=14, opacity=0.8)]
    if limit is not None:
        layers += _limit(limit, f"{limit_says} {limit:g}", theme)
    if marks is not None and len(marks):
        layers.append(_marks(marks, zone, theme))
    return cast("alt.LayerChart", alt.layer(*layers))


def _columns(names: Sequence[str]) -> int:
    """Of the legend: long names below each other, or a phone cuts them off."""
    return 1 if max(map(len, names), default=0) > _LONG_NAME else 2


def clock_axis(title: str = "time of day in the city") -> "alt.X":
    """The city's time."""
    import altair as alt

    return alt.X(
        "clock:T",
        title=title,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(grid=False, labelOverlap=True, format=_HOURS),
    )


def _limit(limit: float, says: str, theme: Theme) -> "list[alt.Chart]":
    import altair as alt
    import pandas as pd

    ink = PALETTES[theme].ink
    at = alt.Chart(pd.DataFrame({"value": [limit], "says": [says]})).encode(y="value:Q")
    rule = at.mark_rule(strokeDash=[4, 4], color=ink, opacity=0.7)
    words = at.mark_text(align="left", dx=4, dy=-7, color=ink, fontSize=11).encode(
        text="says:N", x=alt.value(0)
    )
    return [rule, words]


def _marks(marks: "pd.DataFrame", zone: ZoneInfo, theme: Theme) -> "alt.Chart":
    import altair as alt

    rule = alt.Chart(timed(marks, zone)).mark_rule(
        color=PALETTES[theme].ink, strokeWidth=2, opacity=0.6
    )
    rule = rule.encode(
        x=alt.X("clock:T", scale=alt.Scale(type="utc")),
        tooltip=[alt.Tooltip("what:N", title="Decision"), alt.Tooltip("time:N", title="Time")],
    )
    return cast("alt.Chart", rule)


def diagonal(
    rows: "pd.DataFrame", *, by: str, theme: Theme, order: Sequence[str]
) -> "alt.LayerChart":
    """Reliability: mean_p against share_out with the diagonal that a model should lie on."""
    import altair as alt
    import pandas as pd

    hue = alt.Scale(domain=list(order), range=list(_COLOURS[theme][: len(order)]))
    unit, percent = alt.Scale(domain=[0, 1]), alt.Axis(format="%")
    base = alt.Chart(rows).encode(
        x=alt.X("mean_p:Q", title="probability said", scale=unit, axis=percent),
        y=alt.Y("share_out:Q", title="share that ran out", scale=unit, axis=percent),
        color=alt.Color(f"{by}:N", title=None, scale=hue, legend=alt.Legend(orient="top")),
        shape=alt.Shape(f"{by}:N", title=None, scale=alt.Scale(domain=list(order))),
        tooltip=[
            alt.Tooltip(f"{by}:N", title="Endpoint"),
            alt.Tooltip("mean_p:Q", title="Said", format=".1%"),
            alt.Tooltip("share_out:Q", title="Ran out", format=".1%"),
            alt.Tooltip("rows:Q", title="Rows", format=",d"),
        ],
    )
    ends = pd.DataFrame({"mean_p": [0.0, 1.0], "share_out": [0.0, 1.0]})
    straight = alt.Chart(ends).mark_line(strokeDash=[4, 4], color=PALETTES[theme].ink, opacity=0.5)
    straight = straight.encode(x="mean_p:Q", y="share_out:Q")
    drawn = (straight, base.mark_line(strokeWidth=1.5), base.mark_point(filled=True, size=60))
    return cast("alt.LayerChart", alt.layer(*drawn))
