import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.flows import records, report
from mlops_bikeshare.flows.pages.page import Event, Section, number, page
from mlops_bikeshare.flows.pages.pictures import Line, Panel
from mlops_bikeshare.settings import load

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = {"city", "stations", "window", "train", "quality", "replay", "gate", "promotion"} | {
    "rollback",
    "seconds_total",
}
SCORES = ("rows", "pr_auc", "brier", "brier_skill", "ece", "f1", "onset_pr_auc")
PASSED = {
    "name": "PSI",
    "value": 0.08,
    "relation": "<",
    "threshold": 0.2,
    "verdict": "pass",
    "detail": "0.08 of 2025-06-23 00:00",
    "passed": True,
}
FAILED = PASSED | {
    "name": "Onset-Brier-Skill-24h",
    "value": 0.0123,
    "relation": ">=",
    "threshold": 0.02,
    "verdict": "fail",
    "passed": False,
}
MISSING = FAILED | {"name": "F1-24h", "value": None, "verdict": "unknown"}


def moved(kind: str, start: str, end: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "endpoint": "bikeshare-prod",
        "from_version": start,
        "to_version": end,
        "artefact_digest": "ab" * 32,
        "endpoint_config": "bikeshare-prod-config-1",
        "seconds": 1.31,
    }


def document(*checks: dict[str, Any], verdict: str = "pass") -> dict[str, Any]:
    quality = dict.fromkeys(SCORES, 0.5) | {"onset_brier_skill": None}
    persistence = {"pr_auc": 0.4, "brier": 0.1, "onset_pr_auc": 0.2}
    passed = verdict == "pass"
    return {
        "city": "demo",
        "stations": 300,
        "window": "2025-06-22..2025-06-23",
        "train": {"rows": 578_675, "seconds": 19.7},
        "quality": {t.name: quality | {"persistence": persistence} for t in TARGETS},
        "replay": {
            "batches": 144,
            "polls": 288,
            "failed_batches": 0,
            "failed_polls": 2,
            "seconds": 48.1,
        },
        "gate": {
            "verdict": verdict,
            "model_version": "2",
            "window": "2025-06-22..2025-06-23",
            "checks": list(checks or [PASSED]),
        },
        "promotion": moved("promotion", "1", "2") if passed else None,
        "rollback": moved("rollback", "2", "1") if passed else None,
        "seconds_total": 93.2,
    }


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    settings = load(tmp_path, {}, {}).with_workspace("demo", default_city="demo")
    return open_workspace(settings, simulated=True)


def test_report_json_keeps_its_contract_and_adds_only_what_is_documented(ws: Workspace) -> None:
    given = document()
    report.write(ws, given)
    found = json.loads((ws.path / "report.json").read_text())
    assert {key: found[key] for key in CONTRACT} == given
    assert set(found) - CONTRACT == {"headline", "champion", "dispatch"}
    documented = (ROOT / "docs" / "report.md").read_text()
    for key in found:
        assert f"`{key}" in documented
    assert (ws.path / "report.html").read_text().startswith("<!doctype html>")
    assert not list(ws.path.glob(".report*"))


def test_the_headline_of_a_pass_tells_of_promotion_and_rollback() -> None:
    assert report.headline(document()) == (
        "Version 2 passed the gate after a replayed day and replaced version 1 in production in"
        " 1.3 s; a drill rolled it back in 1.3 s."
    )


def test_the_headline_of_a_refusal_says_why() -> None:
    text = report.headline(document(PASSED, FAILED, MISSING, MISSING, verdict="fail"))
    assert "refused version 2" in text
    assert "Onset-Brier-Skill-24h is 0.012 and must be >= 0.020" in text
    assert "F1-24h is missing" in text
    assert "1 more" in text
    assert "could not judge" in report.headline(document(MISSING, verdict="unknown"))


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_the_summary_has_about_ten_lines_and_names_both_windows(verdict: str) -> None:
    text = report.summary(document(FAILED if verdict == "fail" else PASSED, verdict=verdict))
    lines = text.splitlines()
    assert 10 <= len(lines) <= 14
    assert max(map(len, lines)) <= 180
    assert "make dashboard" in text
    assert "make mlflow-ui" in text
    assert ("needs >= 0.020" in text) == (verdict == "fail")


def test_the_replay_comes_after_the_deploys_and_before_the_decisions(ws: Workspace) -> None:
    deployed = {"version": "2", "endpoint": "bikeshare-staging", "endpoint_config": "c"}
    records.audit(ws, "deploy", why="for judgement", facts=deployed)
    gate = {"verdict": "pass", "model_version": "2", "checks": [PASSED]}
    records.audit(ws, "gate", why="verdict pass", facts=gate)
    records.audit(ws, "promotion", why="gate passed", facts={"from_version": "1", "version": "2"})
    story = report.timeline(document(), records.audited(ws), [])
    assert [event.title for event in story] == [
        "Version 2 was deployed to bikeshare-staging",
        "A day of production was replayed",
        "Gate: pass",
        "Promotion: version 1 → 2",
    ]
    assert report.timeline(document(), [], [])[-1].title == "A day of production was replayed"


class Elements(HTMLParser):
    """Attributes that a browser would follow, and tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.followed += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href"}]


def built(city: str = "demo") -> str:
    shown = Panel(
        title="bikeout",
        x_label="recall",
        lines=[Line(label="v2", role="challenger", x=[0, 1], y=[1, 0])],
    )
    text = report.headline(document())
    return page(
        document() | {"city": city, "headline": text, "champion": None},
        [Event(when="", title="trained", text="")],
        [Section(title="Curves", text="what", panels=[shown])],
    )


def test_the_page_loads_nothing_from_elsewhere() -> None:
    found = Elements()
    found.feed(built())
    assert not any(re.match(r"\w+:|//", target) for target in found.followed)
    assert not found.tags & {"script", "link", "iframe", "img"}
    assert "svg" in found.tags
    assert "@import" not in built()


def test_what_comes_from_data_is_escaped() -> None:
    assert "<b>x" not in built(city="<b>x")
    assert "&lt;b&gt;x" in built(city="<b>x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0.0, "0"),
        (39716.0, "39,716"),
        (-0.000224, "-0.00022"),
        (0.8408281, "0.841"),
        (43.25197, "43.3"),
        ("ab" * 32, "abababababab"),
    ],
)
def test_numbers_keep_the_digits_that_matter(value: Any, text: str) -> None:
    assert number(value) == text


def test_alert_budgets_are_told_beside_the_scores() -> None:
    budget = {
        "stations_per_hour": 10,
        "precision": 0.4,
        "recall": 0.6,
        "best_recall": 0.9,
        "lead_min": None,
        "minutes_covered": 0.7,
    }
    given = document() | {"dispatch": {"bikeout": {"model": [budget], "persistence": [budget]}}}
    assert "10 alerts an hour: precision 0.400, recall 0.600 of at most 0.900" in report.summary(
        given
    )
    shown = page({**given, "headline": ""}, [], [])
    assert "What dispatch feels" in shown
    assert "What dispatch feels" not in page({**document(), "headline": ""}, [], [])
