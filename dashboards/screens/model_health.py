"""Model Health: whether the model is still good, the challenger better, the world another."""

from typing import TYPE_CHECKING

import streamlit as st

from dashboards import charts
from dashboards.readings import Choice, model_health
from dashboards.readings.model_health import ModelHealth
from dashboards.risk import WORDS
from dashboards.screens import parts
from dashboards.wording import both_zones, figure
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.targets import TARGETS

if TYPE_CHECKING:
    import pandas as pd

CHART_HEIGHT, PAGE_HEIGHT = 240, 700
_ABOUT = (
    "How well the predictions of the last 24 hours came true, production's champion beside"
    " staging's challenger, against what the gate asks for."
)
# Column → title, the gate's setting or None, whether the worse target is the lower one.
_SHOWN: dict[str, tuple[str, str | None, bool]] = {
    "pr_auc": ("PR-AUC-24h", "pr_auc_24h", True),
    "f1": ("F1-24h", "f1_24h", True),
    "onset_brier_skill": ("Onset Brier skill over persistence", "onset_brier_skill", True),
    "brier": ("Brier score", None, False),
    "samples": ("Samples judged", "min_samples", True),
}


def show(choice: Choice) -> None:
    """Draw the page."""
    parts.head("Model Health", _ABOUT)
    _live(choice)
    _reliability(choice)


@st.cache_data(ttl=parts.REFRESH_S, show_spinner="Reading quality …", hash_funcs={Choice: repr})
def _read(choice: Choice) -> ModelHealth:
    return parts.there(model_health.read(choice, parts.clients(choice)))


@st.cache_data(ttl=10 * parts.REFRESH_S, show_spinner=False, hash_funcs={Choice: repr})
def _curves(choice: Choice, hour: str) -> "pd.DataFrame":
    _ = hour
    return model_health.reliability(choice, _read(choice).now)


@st.fragment(run_every=parts.REFRESH_S)
def _live(choice: Choice) -> None:
    reading = parts.read(lambda: _read(choice), source="The quality view or the metric store")
    if reading is None:
        return
    st.caption(f"Newest window ends {both_zones(reading.newest, reading.city.zone)}")
    if reading.stale:
        parts.stale("the newest judged window is", reading.now - reading.newest, reading.again)
    worse = _worse(reading)
    _figures(reading, worse)
    target = st.segmented_control(
        "Which stockout",
        ["worse of the two", *(WORDS[t.name] for t in TARGETS)],
        default="worse of the two",
        required=True,
        key="health-target",
    )
    names = {WORDS[t.name]: t.name for t in TARGETS}
    rows = worse if target not in names else _of_target(reading, names[target])
    _quality(reading, rows)
    _drift(choice, reading)


def _named(reading: ModelHealth, rows: "pd.DataFrame") -> list[str]:
    """Champion and challenger are those that serve now; their windows outlive them by a day."""
    of = zip(rows["endpoint"], rows["model_version"], strict=True)
    return [_called(reading, endpoint, version) for endpoint, version in of]


def _called(reading: ModelHealth, endpoint: str, version: str) -> str:
    stage = {reading.champion: "champion", reading.challenger: "challenger"}
    former = "" if version in reading.serving.get(endpoint, {version}) else "former "
    return f"{former}{stage.get(endpoint, endpoint)}: version {version}"


def _worse(reading: ModelHealth) -> "pd.DataFrame":
    """The worse of the two targets, window by window; unknown where one is, as the gate has it."""
    ways = {column: "min" if low else "max" for column, (_, _, low) in _SHOWN.items()}
    ways |= {"brier_skill": "min", "ece": "max", "persistence_pr_auc": "min"}
    keys = ["endpoint", "model_version", "window_end"]
    windows = reading.quality.groupby(keys)
    found, known = windows.agg(ways), windows[list(ways)].count()
    found = found.where(known == len(TARGETS)).reset_index()
    return found.assign(who=_named(reading, found))


def _of_target(reading: ModelHealth, target: str) -> "pd.DataFrame":
    rows = reading.quality[reading.quality["target"] == target]
    return rows.assign(who=_named(reading, rows))


def _figures(reading: ModelHealth, worse: "pd.DataFrame") -> None:
    """The newest figures of each version, the worse of its targets."""
    newest = worse[worse["window_end"] == worse["window_end"].max()]
    for row in newest.sort_values(["endpoint", "who"]).to_dict("records"):
        st.markdown(f"**{str(row['who']).capitalize()}** on {row['endpoint']}")
        told = {
            "PR-AUC-24h": figure(row["pr_auc"]),
            "F1-24h": figure(row["f1"]),
            "Brier": figure(row["brier"]),
            "Brier skill": figure(row["brier_skill"]),
            "Samples": figure(row["samples"], ",.0f"),
        }
        if not row["who"].startswith("former"):
            told["PSI, worst of 24 h"] = figure(reading.worst_psi(row["endpoint"]))
        parts.figures(told)


def _quality(reading: ModelHealth, rows: "pd.DataFrame") -> None:
    marks = reading.marks.rename(columns={"decided_at": "at"})
    start = rows["window_end"].min()
    marks = marks[marks["at"] >= start] if len(marks) else marks
    order = sorted(rows["who"].unique())
    left, right = st.columns(2, gap="medium")
    for number, (column, (title, setting, _)) in enumerate(_SHOWN.items()):
        known = rows.dropna(subset=[column])
        with left if number % 2 == 0 else right:
            st.markdown(f"**{title}**")
            if known.empty:
                st.caption("Not known yet: too few labels.")
                continue
            limit = None if setting is None else float(getattr(reading.limits, setting))
            shown = known.rename(columns={"window_end": "at"})[["at", "who", column]]
            st.altair_chart(
                charts.lines(
                    shown.rename(columns={column: "value"}),
                    by="who",
                    zone=reading.city.zone,
                    theme=parts.theme(),
                    title=title,
                    number=",d" if column == "samples" else ".3f",
                    limit=limit,
                    limit_says="gate",
                    marks=marks,
                    order=order,
                ),
                height=CHART_HEIGHT,
                alt=f"{title} of each version over the last 24 hours",
            )
    if len(marks):
        st.caption("Upright lines: deploys, promotions and rollbacks; point at one for its name.")


def _drift(choice: Choice, reading: ModelHealth) -> None:
    st.header("Drift", anchor=False)
    if reading.psi.empty:
        st.info("No hour was long enough to judge drift yet.")
    else:
        st.altair_chart(
            charts.lines(
                reading.psi,
                by="endpoint",
                zone=reading.city.zone,
                theme=parts.theme(),
                title="largest PSI",
                limit=reading.limits.psi,
                limit_says="gate",
                zero=True,
            ),
            height=CHART_HEIGHT,
            alt="Largest PSI of any feature by the hour, over a week",
        )
    if not reading.pages:
        st.info("No drift report was drawn yet; `bikeshare monitor --page` draws one.")
        return
    said = {
        page.key: f"{both_zones(page.end, reading.city.zone)}: {page.endpoint},"
        f" version {page.version}"
        for page in reading.pages
    }
    key = st.selectbox("Drift report", list(said), format_func=said.__getitem__, key="drift-page")
    st.iframe(model_health.page_of(choice, key), height=PAGE_HEIGHT)


@st.fragment
def _reliability(choice: Choice) -> None:
    reading = _read_quietly(choice)
    if reading is None:
        return
    st.header("Reliability", anchor=False)
    st.caption("Of the times the model said 40 %, were 40 % out? It reads a day of predictions.")
    if not st.toggle("Show reliability", key="reliability"):
        return
    with st.spinner("Comparing a day of predictions with what happened …"):
        rows = parts.read(
            lambda: _curves(choice, f"{reading.now:%Y%m%d%H}"), source="The day's predictions"
        )
    if rows is None:
        return
    if rows.empty:
        st.info("No prediction of the last day has a label yet.")
        return
    order = sorted(rows["endpoint"].unique())
    for column, target in zip(st.columns(len(TARGETS)), TARGETS, strict=True):
        mine = rows[rows["target"] == target.name]
        column.markdown(f"**{WORDS[target.name].capitalize()}**")
        column.altair_chart(
            charts.diagonal(mine, by="endpoint", theme=parts.theme(), order=order),
            height=CHART_HEIGHT + 60,
            alt=f"Reliability of the probabilities of running {WORDS[target.name]}",
        )


def _read_quietly(choice: Choice) -> ModelHealth | None:
    """What the part above has shown; None where it could not."""
    try:
        return _read(choice)
    except (BikeshareError, parts.NothingYet):
        return None
