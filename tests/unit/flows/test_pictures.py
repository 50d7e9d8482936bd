import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import MetricPoint, QualityReport
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.curves import Curve, TargetCurves
from mlops_bikeshare.flows.judging.compared import Served
from mlops_bikeshare.flows.pages.pictures import STYLE, Line, Panel, png, svg
from mlops_bikeshare.flows.runs import panels
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.settings import Settings

MIDNIGHT = datetime(2025, 6, 22, tzinfo=UTC)
CURVE = Curve(
    rows=10,
    base_rate=0.3,
    pr_auc=0.8,
    recall=(0.2, 0.6, 1.0),
    precision=(1.0, 0.8, 0.4),
    mean_p=(0.1, 0.7),
    share_out=(0.12, 0.66),
    bin_rows=(7, 3),
)


def panel(title: str = "skill < 1 & more", *, limit: tuple[str, float] | None = None) -> Panel:
    times = [MIDNIGHT + timedelta(hours=h) for h in range(24)]
    lines = [Line(label="v2", role="challenger", x=times, y=[h / 24 for h in range(24)])]
    return Panel(title=title, x_label="UTC", y_label="skill", lines=lines, limit=limit)


def test_png_shows_any_number_of_panels() -> None:
    for count in (1, 2, 3):
        assert png(*[panel()] * count, title="a day").startswith(b"\x89PNG")


def test_svg_takes_its_colours_from_the_page() -> None:
    text = svg(panel(limit=("gate: at least 0.02", 0.02)))
    assert "var(--challenger)" in text
    assert "var(--limit)" in text
    assert "currentColor" in text
    assert not any(colour in text for colour, _, _ in STYLE.values())


def test_svg_refers_to_nothing_outside_and_carries_no_time_or_font() -> None:
    text = svg(panel())
    assert set(re.findall(r'https?://[^"]*', text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "font-family" not in text
    assert "<metadata" not in text
    assert text == svg(panel())


def test_the_name_of_a_picture_is_text_for_screen_readers() -> None:
    assert 'role="img" aria-label="skill &lt; 1 &amp; more"' in svg(panel())


def test_pictures_on_one_page_share_no_ids_that_are_referred_to() -> None:
    referred = [set(re.findall(r'(?:url\(|href=")#([^")]+)', svg(panel(title)))) for title in "ab"]
    assert referred[0]
    assert not referred[0] & referred[1]


def test_bars_are_drawn_with_the_largest_on_top() -> None:
    bars = [("small", 0.1), ("large", 0.9)]
    text = svg(Panel(title="t", x_label="PSI", bars=bars, limit=("below 0.2", 0.2)))
    at = {
        name: float(found[1])
        for name in ("small", "large")
        if (found := re.search(rf' y="([\d.]+)"[^>]*>{name}<', text))
    }
    assert at["large"] < at["small"]
    assert "below 0.2" in text


def test_a_single_time_is_drawn_within_its_hour_and_not_within_years() -> None:
    """Four years of an axis, drawn hour by hour, once took a gate half a minute."""
    alone = Line(label="v1", role="champion", x=[MIDNIGHT], y=[12.0])
    text = svg(Panel(title="t", x_label="UTC", lines=[alone]))
    ticks = re.findall(r">(\d\d:\d\d)<", text)
    assert ticks[0] >= "23:00"
    assert ticks[-1] <= "01:00"
    assert "00:00" in ticks


def test_a_curve_that_is_unknown_is_left_out_and_an_empty_panel_is_not_drawn() -> None:
    nothing = TargetCurves(model=None, persistence=None, onset_model=None, onset_persistence=None)
    some = TargetCurves(model=CURVE, persistence=None, onset_model=None, onset_persistence=None)
    assert panels.curve_panels({"bikeout": nothing}) == []
    found = panels.curve_panels({"bikeout": some})
    assert [p.title for p in found] == [
        "bikeout in 30 min: all stations",
        "bikeout in 30 min: reliability",
    ]
    assert [line.label for line in found[0].lines] == ["model: 0.800"]


def test_importance_is_the_share_of_all_gain_for_the_largest_features() -> None:
    gains = {f"f{i}": float(i) for i in range(40)}
    (shown,) = panels.importance_panels({"bikeout": gains, "dockout": {"f1": 0.0}})
    assert len(shown.bars) == panels.TOP
    assert shown.bars[0] == ("f39", 39 / sum(range(40)))


def test_the_second_day_of_a_window_is_no_warm_up(tmp_path: Path) -> None:
    city = City(name="here", timezone="UTC", country="CA")
    ws = open_workspace(Settings(root=tmp_path, cities={city.name: city}), simulated=True)
    hours = range(30)
    of = {"EndpointName": "e", "City": "here", "ModelVersion": "2", "Target": "bikeout"}
    name = "Onset-Brier-Skill-24h"
    ws.metrics.put(
        [
            MetricPoint(
                namespace=MODEL,
                name=name,
                dimensions=of,
                at=MIDNIGHT + timedelta(hours=h),
                value=h / 100,
            )
            for h in hours
        ]
    )
    window = Window(MIDNIGHT, MIDNIGHT + timedelta(hours=30))
    report = QualityReport(endpoint="e", city="here", model_version="2", window=window, targets=())
    served = Served(stage="staging", report=report, curves={})

    (shown,) = panels.skill_panels(ws, city, [served], window, limit=0.02)

    assert list(shown.lines[0].y) == [h / 100 for h in hours[3:]]
