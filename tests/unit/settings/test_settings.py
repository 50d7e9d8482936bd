from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import find_root, keys, load

CITY = '[cities.here]\ntimezone = "Europe/Oslo"\ncountry = "NO"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    text = f'default_city = "here"\n[gate]\npsi = 0.3\n{CITY}'
    (tmp_path / "bikeshare.toml").write_text(text)
    return tmp_path


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(home: Path) -> None:
    environ = {"BIKESHARE_GATE__PSI": "0.4", "BIKESHARE_WORKSPACE": "from-env"}

    settings = load(home, environ, {"workspace": "from-flag", "profile": None})

    assert (settings.workspace, settings.gate.psi) == ("from-flag", 0.4)
    assert settings.gate.pr_auc_24h == 0.70
    origins = settings.origins
    assert origins["workspace"] == "flag"
    assert origins["gate.psi"] == "environment BIKESHARE_GATE__PSI"
    assert (origins["default_city"], origins["profile"]) == ("bikeshare.toml", "default")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gate]\npsy = 1\n", "gate.psy: unknown key"),
        ("profile = 'gcp'\n", "profile: expected local or aws, got 'gcp'"),
        ("[training]\nrounds = 'many'\n", "training.rounds: expected a whole number"),
        ("[training]\nrounds = true\n", "training.rounds: expected a whole number"),
        ("[cities.x]\ncountry = 'NO'\n", r"\[cities.x\].*missing \['timezone'\]"),
        ("[cities.x]\ntimezone = 'Mars'\ncountry = 'NO'\n", "expected an IANA name"),
        ("profile =", "not valid TOML"),
        ("[cities.x]\ntimezone = 5\ncountry = 'NO'\n", "expected an IANA name"),
        ("[cities.x]\ntimezone = 'Europe/Oslo'\ncountry = 'Norway'\n", "country: .* such as US"),
        (f"{CITY}lat = 'north'\n", r"lat: expected a number from -90 to 90, got 'north'"),
        (f"{CITY}lon = 200\n", r"lon: expected a number from -180 to 180, got 200"),
        ("[cities]\nhere = 3\n", "cities.here: expected a table"),
        ("[cities.'Sao Paulo']\n", r"Sao Paulo\]: expected a name of lower-case letters"),
        ("[cities.'../x']\n", "expected a name of lower-case letters, digits and hyphens"),
    ],
)
def test_a_bad_key_or_value_is_named_with_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bikeshare.toml").write_text(text)

    with pytest.raises(SettingsError, match=message):
        load(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("workspace", "../../evil", "workspace: expected text of lower-case letters, digits"),
        ("workspace", "", "workspace: expected text of lower-case letters"),
        ("workspace", ".", "workspace: expected text of lower-case letters"),
        ("workspace", "a/b", "workspace: expected text of lower-case letters"),
        ("ingest.contact", "Zoë", "ingest.contact: expected text of printable ASCII characters"),
        ("serving.port", 99_999, "serving.port: expected a whole number from 0 to 65535"),
        ("serving.port", "99999", "serving.port: expected a whole number from 0 to 65535"),
        ("training.threads", -3, "training.threads: expected a whole number from 1 to"),
        ("training.rounds", 0, "training.rounds: expected a whole number of at least 1, got 0"),
        ("gate.psi", "nan", "gate.psi: expected a number of at least 0, got 'nan'"),
        ("gate.psi", "inf", "gate.psi: expected a number of at least 0, got 'inf'"),
        ("gate.pr_auc_24h", 1.5, "gate.pr_auc_24h: expected a number from 0 to 1, got 1.5"),
        ("gate.min_samples", 0, "gate.min_samples: expected a whole number of at least 1"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(
    home: Path, name: str, value: object, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load(home, {}, {name: value})


def test_every_number_among_the_settings_and_their_defaults_lie_within_bounds(home: Path) -> None:
    for name, default in keys().items():
        if isinstance(default, int | float):
            assert load(home, {}, {name: default}) is not None
            with pytest.raises(SettingsError, match=name):
                load(home, {}, {name: -2})


def test_an_unknown_city_is_refused_with_the_known_ones(home: Path) -> None:
    with pytest.raises(SettingsError, match=r"'atlantis' is not in .*; known: here"):
        load(home, {}, {}).city("atlantis")


def test_the_root_is_the_nearest_folder_upwards(home: Path) -> None:
    deep = home / "a" / "b"
    deep.mkdir(parents=True)

    assert find_root(deep, {}) == home
    assert find_root(Path("/"), {"BIKESHARE_HOME": str(home)}) == home


def test_without_a_settings_file_the_message_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set BIKESHARE_HOME"):
        find_root(tmp_path, {"BIKESHARE_HOME": str(tmp_path)})


def test_only_the_default_city_owns_the_short_endpoint_names(home: Path) -> None:
    settings = load(home, {}, {})

    assert settings.endpoint("prod", "here") == "bikeshare-prod"
    assert settings.endpoint("staging", "oslo") == "bikeshare-oslo-staging"


def test_the_demo_keeps_an_mlflow_store_of_its_own(home: Path) -> None:
    settings = load(home, {}, {})

    assert settings.mlflow_uri == f"sqlite:///{home}/mlflow.db"
    assert settings.with_workspace("demo").mlflow_uri == f"sqlite:///{home}/var/demo/mlflow.db"


def test_an_explicit_tracking_uri_wins_but_never_in_the_demo_which_moves_aliases(
    home: Path,
) -> None:
    settings = load(home, {"MLFLOW_TRACKING_URI": "sqlite:///x.db"}, {})

    assert settings.mlflow_uri == "sqlite:///x.db"
    assert settings.with_workspace("demo").mlflow_uri == f"sqlite:///{home}/var/demo/mlflow.db"
