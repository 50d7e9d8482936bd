"""Pictures of curves, scores and metrics, for MLflow runs (PNG) and for the report (SVG).

Input    a `Panel`: lines or bars with their labels; a line's role gives colour, dash and marker.
Output   `png`: panels side by side, light; `svg`: one panel whose colours are the CSS variables
         `--<role>` and `currentColor`, so that a page can be light or dark.
Source   colours: Okabe and Ito, Color Universal Design (2008); no line is told by colour alone.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Role = Literal["challenger", "champion", "persistence", "limit"]

# Colour, dash and marker of each role, on white.
STYLE: Mapping[Role, tuple[str, str, str]] = {
    "challenger": ("#0072b2", "-", "o"),
    "champion": ("#d55e00", "--", "s"),
    "persistence": ("#6e7681", ":", "^"),
    "limit": ("#a40e26", "-.", ""),
}
INK, GRID = "#24292f", "#d0d7de"
_SIZE = (4.8, 3.5)
_DPI = 110
_MARKED = 14  # a line of at most so many points shows them
_ALONE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; `x` are numbers or datetimes."""

    label: str
    role: Role
    x: Sequence[Any]
    y: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one set of axes shows: lines, or horizontal bars.

    `limit`: a value of y (bars: of x) with its name. `diagonal`: where a perfect forecast lies.
    """

    title: str
    x_label: str
    y_label: str = ""
    lines: Sequence[Line] = ()
    bars: Sequence[tuple[str, float]] = ()
    limit: tuple[str, float] | None = None
    unit_square: bool = False
    diagonal: bool = False
    least: float | None = None


def png(*panels: Panel, title: str = "") -> bytes:
    """Panels side by side, two in a row, on white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _drawing():
        figure = _figure(panels)
        figure.set_dpi(_DPI)
        if title:
            figure.suptitle(title, fontsize=12, fontweight="bold")
        out = io.BytesIO()
        # not savefig, which draws everything once more to find out how large it is
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(out, metadata={"Software": None})  # type: ignore[no-untyped-call]
        return out.getvalue()


def svg(panel: Panel) -> str:
    """One panel without its title, as an element that scales with the page."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with _drawing(salt=panel.title):
        figure, out = _figure([panel], titles=False), io.StringIO()
        for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
            patch.set_visible(False)
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(out, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return _themed(out.getvalue(), label=panel.title)


def _drawing(*, salt: str = "") -> Any:
    """Settings of matplotlib for one picture; the salt keeps ids on one page apart."""
    import matplotlib as mpl

    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
            "font.size": 10,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
        }
    )


def _figure(panels: Sequence[Panel], *, titles: bool = True) -> "Figure":
    """Drawn on a figure of its own: no pyplot, no display, no state."""
    from matplotlib.figure import Figure

    across = min(2, len(panels))
    down = -(-len(panels) // across)
    tallest = max(1.0, max(len(panel.bars) for panel in panels) / 13)
    size = (_SIZE[0] * across, _SIZE[1] * down * tallest)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).flat
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel)
        if titles:
            axes.set_title(panel.title, fontsize=11, loc="left")
    for axes in list(grid)[len(panels) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: "Axes", panel: Panel) -> None:
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    draw: Callable[[Axes, Panel], None] = _bars if panel.bars else _lines
    draw(axes, panel)


def _lines(axes: "Axes", panel: Panel) -> None:
    if panel.unit_square:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if panel.diagonal:
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.2)
    for line in panel.lines:
        colour, dash, marker = STYLE[line.role]
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle=dash,
            marker=marker if len(line.x) <= _MARKED else "",
            markersize=4,
            linewidth=1.8,
            label=line.label,
        )
    if panel.limit is not None:
        name, value = panel.limit
        axes.axhline(value, color=STYLE["limit"][0], linestyle=STYLE["limit"][1], label=name)
    if panel.least is not None:
        axes.set_ylim(bottom=panel.least)
    if panel.lines and hasattr(panel.lines[0].x[0], "hour"):
        _hours(axes, [at for line in panel.lines for at in line.x])
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=9, loc="best")


def _hours(axes: "Axes", times: Sequence[Any]) -> None:
    """From the first time to the last; one alone gets an hour to either side, not two years."""
    from matplotlib import dates

    first, last = min(times), max(times)
    if first == last:
        axes.set_xlim(first - _ALONE, last + _ALONE)
    axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=7))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]


def _bars(axes: "Axes", panel: Panel) -> None:
    """The largest on top."""
    ordered = sorted(panel.bars, key=lambda bar: bar[1])
    axes.barh(
        [name for name, _ in ordered],
        [value for _, value in ordered],
        color=STYLE["challenger"][0],
        height=0.7,
    )
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.grid(visible=False, axis="y")
    if panel.limit is not None:
        name, value = panel.limit
        colour, dash, _ = STYLE["limit"]
        axes.axvline(value, color=colour, linestyle=dash)
        axes.annotate(
            name, (value, 0), xytext=(-6, 0), textcoords="offset points", ha="right", color=colour
        )


def _themed(text: str, *, label: str) -> str:
    """The svg element alone, with the page's colours and font, as wide as its place."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*pt" height="[^"]*pt"', r"\1", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{_escaped(label)}" ', 1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family:[^;\"]*;?", "", text)
    for role, (colour, _, _) in STYLE.items():
        text = text.replace(colour, f"var(--{role})")
    text = text.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    return re.sub(r"\n\s*", "\n", text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
