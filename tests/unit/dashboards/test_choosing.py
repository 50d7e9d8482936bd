from pathlib import Path

import pytest

from dashboards.asking import _workspace as asked_with
from dashboards.readings import choose, opened
from dashboards.readings.choosing import KEYS, SECRETS, Views
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.lake.s3 import S3Store

EXAMPLE = Path(__file__).resolve().parents[3] / ".streamlit" / "secrets.example.toml"


def secrets(home: Path, text: str) -> None:
    (home / SECRETS).parent.mkdir(exist_ok=True)
    (home / SECRETS).write_text(text)


def test_without_the_file_the_profile_is_the_one_of_the_settings(home: Path) -> None:
    choice = choose(home, {}, workspace=None)
    assert choice.settings.profile == "local"
    assert choice.views == Views()
    assert choice.namespace == "Bikeshare/Model"
    assert not choice.streets


def test_the_keys_that_operators_know_reach_athena_and_cloudwatch(home: Path) -> None:
    secrets(
        home,
        'region = "ca-central-1"\ncity = "nyc"\ncw_custom_ns = "Bikes/Own"\ndb = "bikes"\n'
        'workgroup = "ops"\nathena_output = "s3://results/here/"\naws_profile = "ops"\n'
        'view_predictions = "bikes.said"\nsm_endpoint = "bikeshare-prod"\n',
    )
    choice = choose(home, {}, workspace=None)
    lake = choice.settings.lake
    assert (choice.settings.profile, lake.database, lake.workgroup) == ("aws", "bikes", "ops")
    assert (choice.namespace, choice.aws_profile) == ("Bikes/Own", "ops")
    assert choice.athena_output == "s3://results/here/"
    assert choice.views.predictions == "bikes.said"
    assert choice.city is not None
    assert choice.city.value == "nyc"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('sm_endpont = "x"', "unknown key 'sm_endpont'; allowed keys: region, city"),
        ('view_quality = "x; DROP TABLE y"', "view_quality: expected a view's name"),
        ('athena_output = "results/"', "athena_output: expected a folder such as s3://"),
        ('street_tiles = "perhaps"', "street_tiles: expected true, false or"),
        ("db = 3", "db: expected text, got 3"),
        ('aws_profile = "ops"', "aws_profile (.streamlit/secrets.toml) is for AWS"),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(home: Path, text: str, named: str) -> None:
    secrets(home, text)
    with pytest.raises(SettingsError) as wrong:
        choose(home, {}, workspace=None)
    assert named in str(wrong.value)


def test_the_environment_comes_before_the_file(home: Path) -> None:
    secrets(home, 'db = "theirs"\nstreet_tiles = true')
    environ = {"BIKESHARE_DB": "mine", "BIKESHARE_STREET_TILES": "false"}
    choice = choose(home, environ, workspace=None)
    assert (choice.settings.lake.database, choice.street_tiles) == ("mine", None)


def test_the_example_names_every_key_and_is_taken_as_it_stands(home: Path) -> None:
    text = EXAMPLE.read_text()
    assert all(f"{key} = " in text for key in KEYS)
    secrets(home, text)
    assert choose(home, {}, workspace=None).settings.profile == "local"
    everything = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    secrets(home, everything)
    choice = choose(home, {}, workspace=None)
    assert (choice.settings.profile, choice.views) == ("aws", Views())


def test_all_is_read_and_asked_with_the_profile_that_was_named_and_an_unknown_one_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = home / "credentials"
    keys.write_text("[ops]\naws_access_key_id = key-of-ops\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "none"))
    aws = 'athena_output = "s3://results/here/"\naws_profile = "{}"\n'
    secrets(home, aws.format("ops"))
    found = opened(choose(home, {}, workspace=None))
    assert isinstance(found, Workspace)
    assert isinstance(found.lake.store, S3Store)
    clients = (found.lake.store._client, found.cloudwatch, found.clients.runtime)
    asking = asked_with(choose(home, {}, workspace=None)).clients.sagemaker
    for client in (*clients, asking):
        assert client._request_signer._credentials.access_key == "key-of-ops"
    secrets(home, aws.format("sop"))
    with pytest.raises(SettingsError, match=r"aws_profile: no profile 'sop' in ~/.aws; .* ops"):
        opened(choose(home, {}, workspace=None))
