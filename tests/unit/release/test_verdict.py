"""The verdict for readers: a table, an explanation, JUnit XML."""

import xml.etree.ElementTree as ET
from datetime import timedelta

from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.release import gate, verdict
from mlops_bikeshare.settings import GateSettings
from tests.unit.release.test_gate import END, HOURS, evidence, health, missing, value
from tests.unit.release.test_waivers import WAIVER

RULES = GateSettings()
SLOW = {**dict.fromkeys(HOURS, 80.0), HOURS[5]: 300.0}


def report() -> GateReport:
    """One check fails, one is unknown, one is waived."""
    found = value("PSI", 0.25)(missing("F1-24h")(health(latency_p95_ms=SLOW)(evidence())))
    return gate.judge(found, RULES, waivers=[WAIVER])


def test_junit_counts_failures_errors_and_what_was_waived() -> None:
    suites = ET.fromstring(verdict.junit(report()))  # noqa: S314 - our own text
    (suite,) = suites
    expected = {"tests": "20", "failures": "1", "errors": "1", "skipped": "1"}
    assert {name: suite.attrib[name] for name in expected} == expected
    cases = {case.attrib["name"]: case for case in suite}
    failure = cases["ModelLatency p95 AllTraffic"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "fail: 300, needs <= 200"
    assert "would flip" in (failure.text or "")
    assert cases["F1-24h"].find("error") is not None
    skipped = cases["PSI"].find("skipped")
    assert skipped is not None
    assert "a marathon closed the bridges" in skipped.attrib["message"]
    assert cases["PR-AUC-24h"].find("system-out") is not None


def test_the_table_shows_every_check_with_its_verdict() -> None:
    shown = verdict.table(report())
    assert shown.startswith("gate FAIL: bikeshare-staging version 7, 2021-09-01..2021-09-02")
    assert "  waived  PSI" in shown
    assert "  unknown F1-24h" in shown
    assert "missing >= 0.55" in shown
    assert len(shown.splitlines()) == 21


def test_the_explanation_says_what_flips_each_check_and_when_to_look_again() -> None:
    shown = verdict.explanation(report())
    assert "2 of 20 checks stand in the way" in shown
    assert "flips  all hours measured and at most 200 ms; not so at 09-01 05:00" in shown
    when = HOURS[5] + timedelta(hours=25)
    assert f"again  at {when:%F %H:%M} at the earliest (6 h 0 min)" in shown
    assert f"at {END + timedelta(minutes=10):%F %H:%M}" in shown, "the next metric is due"
    assert "PSI:" not in shown
    assert verdict.explanation(gate.judge(evidence(), RULES)) == "nothing stands in the way"
