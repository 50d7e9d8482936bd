"""A waiver forgives what failed, for one artefact and some hours, where the catalogue allows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.release import gate, waivers
from mlops_bikeshare.release.waivers import Waiver
from mlops_bikeshare.settings import GateSettings
from tests.unit.release.test_gate import END, evidence, line, missing, value

RULES = GateSettings()
WAIVER = Waiver(
    check="PSI",
    endpoint="bikeshare-staging",
    artefact_digest="d" * 64,
    reason="a marathon closed the bridges",
    author="ana",
    granted_at=END - timedelta(hours=1),
    expires_at=END + timedelta(hours=5),
)
DRIFTED = value("PSI", 0.25)(evidence())


def test_a_drift_that_was_waived_passes_and_says_by_whom_and_why() -> None:
    report = gate.judge(DRIFTED, RULES, waivers=[WAIVER])
    assert report.verdict == "pass"
    check = line(report, "PSI")
    assert (check.verdict, check.passed) == ("fail", True)
    assert check.waived == "ana until 2021-09-02 05:00: a marathon closed the bridges"
    assert report.waivers == (WAIVER.facts(),)
    assert gate.judge(evidence(), RULES, waivers=[WAIVER]).waivers == (), "it was not needed"


@pytest.mark.parametrize(
    "other",
    [
        replace(WAIVER, artefact_digest="e" * 64),
        replace(WAIVER, endpoint="bikeshare-prod"),
        replace(WAIVER, expires_at=END),
        replace(WAIVER, expires_at=END + timedelta(minutes=59)),
        replace(WAIVER, granted_at=END + timedelta(minutes=1)),
    ],
    ids=["artefact", "endpoint", "expired", "ends before the pass does", "not granted yet"],
)
def test_a_waiver_of_something_else_or_of_another_time_forgives_nothing(other: Waiver) -> None:
    assert gate.judge(DRIFTED, RULES, waivers=[other]).verdict == "fail"


def test_what_is_missing_cannot_be_forgiven() -> None:
    assert gate.judge(missing("PSI")(evidence()), RULES, waivers=[WAIVER]).verdict == "unknown"
    unknown = replace(evidence(), drift_enough=None)
    assert gate.judge(unknown, RULES, waivers=[WAIVER]).verdict == "unknown"


def test_a_forged_waiver_of_a_check_that_must_hold_is_ignored() -> None:
    low = value("PR-AUC-24h", 0.5)(evidence())
    forged = replace(WAIVER, check="PR-AUC-24h")
    assert gate.judge(low, RULES, waivers=[forged]).verdict == "fail"


def test_only_what_the_catalogue_allows_can_be_waived() -> None:
    assert waivers.grant(WAIVER, RULES) == WAIVER
    with pytest.raises(Refused, match="only PSI can"):
        waivers.grant(replace(WAIVER, check="Invocation5XXErrors"), RULES)
    with pytest.raises(InputError, match="there is no check"):
        waivers.grant(replace(WAIVER, check="psi"), RULES)


def test_a_waiver_needs_a_reason_and_an_end() -> None:
    with pytest.raises(Refused, match="needs a reason"):
        waivers.grant(replace(WAIVER, reason=" "), RULES)
    for end in (WAIVER.granted_at, WAIVER.granted_at + timedelta(hours=73)):
        with pytest.raises(Refused, match="must end within 72 h"):
            waivers.grant(replace(WAIVER, expires_at=end), RULES)


def test_a_waiver_comes_back_from_the_audit() -> None:
    entries = [{"kind": "gate", "facts": {}}, {"kind": "waiver", "facts": WAIVER.facts()}]
    assert waivers.waivers_in(entries) == [WAIVER]
