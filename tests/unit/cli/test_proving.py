from pathlib import Path

import pytest

from mlops_bikeshare.cli.proving import city_of
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.settings import Settings

KNOWN = City(name="known", timezone="Europe/Paris", country="FR")
SETTINGS = Settings(root=Path(), cities={"known": KNOWN})


def test_a_city_need_not_be_configured() -> None:
    made = city_of(SETTINGS, "new", timezone="Asia/Taipei", country="TW")
    assert (made.name, made.timezone, made.country) == ("new", "Asia/Taipei", "TW")


def test_flags_win_over_the_configured_city() -> None:
    assert city_of(SETTINGS, "known", timezone=None, country=None) == KNOWN
    assert city_of(SETTINGS, "known", timezone="Asia/Taipei", country=None).country == "FR"


@pytest.mark.parametrize(
    ("name", "timezone", "country", "words"),
    [
        ("new", None, None, "give --timezone and --country"),
        ("new", "Mars/Olympus", "CA", "no such time zone"),
        ("new", "", "CA", "give --timezone"),
        ("known", "../etc", None, "no such time zone"),
        ("known", None, "France", "ISO 3166"),
    ],
)
def test_a_city_that_cannot_be_is_refused(
    name: str, timezone: str | None, country: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        city_of(SETTINGS, name, timezone=timezone, country=country)
