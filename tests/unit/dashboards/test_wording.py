import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboards.wording import both_zones, chance, plain, span


def test_a_time_is_the_citys_with_utc_beside_it() -> None:
    at = datetime(2021, 9, 1, 12, 10, tzinfo=UTC)
    assert both_zones(at, ZoneInfo("America/New_York")) == ("Wed 1 Sep 2021, 08:10 EDT (12:10 UTC)")


def test_another_day_in_utc_is_named() -> None:
    at = datetime(2021, 9, 1, 2, 0, tzinfo=UTC)
    assert both_zones(at, ZoneInfo("America/New_York")) == (
        "Tue 31 Aug 2021, 22:00 EDT (Wed 02:00 UTC)"
    )


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=7), "7 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=3, minutes=5), "3 h 5 min"),
        (timedelta(days=2, hours=5), "2 days"),
    ],
)
def test_a_span_is_written_for_people(length: timedelta, words: str) -> None:
    assert span(length) == words


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.0, "0%"),
        (0.004, "<1%"),
        (0.27, "27%"),
        (0.996, ">99%"),
        (1.0, "100%"),
        (math.nan, "unknown"),
    ],
)
def test_a_chance_is_never_rounded_to_certainty_nor_to_zero(p: float, words: str) -> None:
    assert chance(p) == words


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Maple St / 8th Ave & Co", "Maple St / 8th Ave & Co"),
        ("[x](y) $a$ :red[b]", r"\[x\](y) \$a\$ \:red\[b\]"),
        ("1. Gate\n# Quay", r"1\. Gate \# Quay"),
        ("- Quay", r"\- Quay"),
    ],
)
def test_what_a_feed_wrote_is_text_inside_markdown(written: str, shown: str) -> None:
    assert plain(written) == shown
