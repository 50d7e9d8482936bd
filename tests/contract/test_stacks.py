"""Environments on moto's CloudFormation: deployed, compared, interrupted, destroyed."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.cli import main
from mlops_bikeshare.cloud.cloudformation import client
from mlops_bikeshare.cloud.plan import Plan, Stack
from mlops_bikeshare.cloud.stacks import Stacks, change_set
from mlops_bikeshare.domain.errors import CloudError
from mlops_bikeshare.flows import aws
from mlops_bikeshare.settings import load
from tests.stacks_wire import Account, account

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = load(ROOT, {}, {})
REGION = "ca-central-1"


@pytest.fixture(scope="module")
def server() -> Iterator[Account]:
    with account() as found:
        yield found


@pytest.fixture
def there(server: Account) -> Account:
    import httpx

    httpx.post(f"{server.url}/moto-api/reset", trust_env=False).raise_for_status()
    server.states.clear()
    server.drifted.clear()
    server.events.clear()
    server.planning = False
    server.log.clear()
    return server


@pytest.fixture
def stacks(there: Account) -> Stacks:
    ticks = iter(range(10_000))
    asked = client(REGION, url=there.url)
    return Stacks(asked, timeout_s=50, monotonic=lambda: next(ticks), pause=lambda _: None)


def stack(*topics: str, name: str = "bikeshare-dev-data", kept: bool = False) -> Stack:
    resources = {topic: {"Type": "AWS::SNS::Topic"} for topic in topics}
    return Stack(name=name, document={"Resources": resources}, kept=kept)


def for_moto(value: Any) -> Any:
    """A document without the two things that moto gets wrong: tags of keys, values of exports."""
    if isinstance(value, list):
        return [for_moto(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "Fn::ImportValue" in value:
        return "key"
    dropped = {"Tags"} if "KeyPolicy" in value else set()
    return {key: for_moto(inner) for key, inner in value.items() if key not in dropped}


def applied(stacks: Stacks, wanted: Stack) -> Plan:
    plan = stacks.plan(wanted)
    stacks.apply(plan)
    return plan


def test_a_new_stack_is_planned_whole_and_asks_nothing_of_the_account_but_whether_it_is_there(
    stacks: Stacks, there: Account
) -> None:
    plan = stacks.plan(stack("One", "Two"))

    assert (plan.action, [change.resource for change in plan.changes]) == ("create", ["One", "Two"])
    assert {action for action, _ in there.log} == {"DescribeStacks"}
    assert stacks.apply(plan) == "CREATE_COMPLETE"


def test_deploying_again_does_nothing(stacks: Stacks, there: Account) -> None:
    applied(stacks, stack("One"))
    there.log.clear()

    assert applied(stacks, stack("One")).action == "nothing"
    assert not there.asked("ExecuteChangeSet")


def test_a_change_is_planned_by_cloudformation_and_then_done(stacks: Stacks) -> None:
    applied(stacks, stack("One"))

    plan = stacks.plan(stack("One", "Two"))

    assert plan.action == "update"
    assert ("Add", "Two") in {(change.action, change.resource) for change in plan.changes}
    assert stacks.apply(plan) == "UPDATE_COMPLETE"
    assert stacks.plan(stack("One", "Two")).action == "nothing"


def test_a_plan_that_was_looked_at_and_left_is_made_anew(stacks: Stacks) -> None:
    applied(stacks, stack("One"))
    stacks.plan(stack("One", "Two"))

    assert stacks.apply(stacks.plan(stack("One", "Three"))) == "UPDATE_COMPLETE"
    assert stacks.plan(stack("One", "Three")).action == "nothing"


def test_a_creation_that_was_interrupted_before_it_began_is_begun_again(
    stacks: Stacks, there: Account
) -> None:
    asked = client(REGION, url=there.url)
    body = json.dumps(stack("One").document)
    asked.create_change_set(
        StackName="bikeshare-dev-data",
        ChangeSetName=change_set("bikeshare-dev-data"),
        ChangeSetType="CREATE",
        TemplateBody=body,
    )
    assert stacks.status("bikeshare-dev-data") == "REVIEW_IN_PROGRESS"

    plan = stacks.plan(stack("One", "Two"))

    assert plan.action == "create again"
    assert stacks.apply(plan) == "CREATE_COMPLETE"


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"])
def test_a_half_created_stack_is_deleted_and_created_again(
    stacks: Stacks, there: Account, state: str
) -> None:
    applied(stacks, stack("One"))
    there.log.clear()
    there.states["bikeshare-dev-data"] = [state, state]

    plan = stacks.plan(stack("One", "Two"))

    assert plan.action == "create again"
    assert stacks.apply(plan) == "CREATE_COMPLETE"
    assert there.asked("DeleteStack") == ["bikeshare-dev-data"]


def test_a_deploy_that_was_interrupted_is_waited_for_and_then_compared(
    stacks: Stacks, there: Account
) -> None:
    applied(stacks, stack("One"))
    there.states["bikeshare-dev-data"] = ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"]

    assert stacks.plan(stack("One")).action == "nothing"
    assert not there.states["bikeshare-dev-data"]


def test_an_update_that_could_not_be_taken_back_is_continued_first(
    stacks: Stacks, there: Account
) -> None:
    applied(stacks, stack("One"))
    there.states["bikeshare-dev-data"] = ["UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_IN_PROGRESS"]

    assert stacks.plan(stack("One", "Two")).action == "update"
    assert there.asked("ContinueUpdateRollback") == ["bikeshare-dev-data"]


def test_a_stack_that_never_settles_is_an_error_that_says_to_come_again(
    stacks: Stacks, there: Account
) -> None:
    there.states["bikeshare-dev-data"] = ["CREATE_IN_PROGRESS"] * 200

    with pytest.raises(CloudError, match=r"still CREATE_IN_PROGRESS after 50 s.*run the same"):
        stacks.plan(stack("One"))


def test_a_failed_deploy_names_the_stack_and_its_state(stacks: Stacks, there: Account) -> None:
    applied(stacks, stack("One"))
    plan = stacks.plan(stack("One", "Two"))
    there.states["bikeshare-dev-data"] = ["UPDATE_ROLLBACK_COMPLETE"]

    with pytest.raises(CloudError, match="bikeshare-dev-data is UPDATE_ROLLBACK_COMPLETE"):
        stacks.apply(plan)


def test_the_reason_of_a_failed_deploy_is_the_first_of_this_time(
    stacks: Stacks, there: Account
) -> None:
    applied(stacks, stack("One"))
    plan = stacks.plan(stack("One", "Two"))
    there.states["bikeshare-dev-data"] = ["UPDATE_ROLLBACK_COMPLETE"]
    own = ("bikeshare-dev-data", "AWS::CloudFormation::Stack")
    there.events["bikeshare-dev-data"] = [  # the newest first
        (*own, "UPDATE_ROLLBACK_COMPLETE", ""),
        ("Three", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled"),
        ("Two", "AWS::SNS::Topic", "CREATE_FAILED", "no more topics"),
        (*own, "UPDATE_IN_PROGRESS", "User Initiated"),
        ("Old", "AWS::SNS::Topic", "UPDATE_FAILED", "a month ago"),
    ]

    with pytest.raises(CloudError, match=r"Two \(AWS::SNS::Topic\): no more topics"):
        stacks.apply(plan)


def test_a_plan_that_is_never_made_is_an_error_that_says_to_come_again(
    stacks: Stacks, there: Account
) -> None:
    applied(stacks, stack("One"))
    there.planning = True

    with pytest.raises(CloudError, match=r"plan of stack .* still CREATE_PENDING after 50 s"):
        stacks.plan(stack("One", "Two"))


def test_what_was_changed_by_hand_is_told_and_is_a_difference(
    stacks: Stacks, there: Account
) -> None:
    applied(stacks, stack("One"))
    assert aws.diff(stacks, [stack("One")]).none
    there.drifted["bikeshare-dev-data"] = [("One", "AWS::SNS::Topic", "/DisplayName")]

    found = aws.diff(stacks, [stack("One")])

    assert not found.none
    assert "AWS::SNS::Topic One was modified by hand /DisplayName" in aws.compared(found)


def test_destroying_goes_backwards_and_keeps_what_cannot_be_made_again(
    stacks: Stacks, there: Account
) -> None:
    data, jobs = stack("One", kept=True), stack("Two", name="bikeshare-dev-jobs")
    for one in (data, jobs):
        applied(stacks, one)

    assert aws.destroy(stacks, [data, jobs]) == {
        "bikeshare-dev-jobs": "deleted",
        "bikeshare-dev-data": "kept",
    }
    assert aws.destroy(stacks, [data, jobs], data=True) == {
        "bikeshare-dev-jobs": "was not there",
        "bikeshare-dev-data": "deleted",
    }
    assert there.asked("DeleteStack") == ["bikeshare-dev-jobs", "bikeshare-dev-data"]


def test_a_deploy_deletes_nothing_of_what_cannot_be_made_again(
    stacks: Stacks, there: Account
) -> None:
    data = stack("One", kept=True)
    applied(stacks, data)
    there.states[data.name] = ["DELETE_FAILED"] * 2

    with pytest.raises(CloudError, match=r"data is DELETE_FAILED, and holds what cannot be made"):
        aws.plan(stacks, [data])
    assert not there.asked("DeleteStack")


def test_a_protected_stack_is_lifted_first_and_until_then_nothing_is_deleted(
    stacks: Stacks, there: Account
) -> None:
    data = stack("One", kept=True)
    named = stack("Two", name="bikeshare-dev-mlflow", kept=True)
    asks = {**named.document, "Parameters": {"Protected": {"Type": "String", "Default": "true"}}}
    mlflow = dataclasses.replace(named, document=asks)
    for one in (data, mlflow):
        applied(stacks, one)

    with pytest.raises(CloudError, match="bikeshare-dev-mlflow: protected against deletion"):
        aws.destroy(stacks, [data, mlflow], data=True)
    assert set(aws.destroy(stacks, [data, mlflow]).values()) == {"kept"}
    assert not there.asked("DeleteStack")

    asks["Parameters"]["Protected"]["Default"] = "false"
    stacks.delete(mlflow.name)
    applied(stacks, mlflow)
    assert set(aws.destroy(stacks, [data, mlflow], data=True).values()) == {"deleted"}


def test_an_option_that_is_off_today_is_destroyed_before_what_it_leans_on() -> None:
    found = aws.made(SETTINGS, aws.load(SETTINGS, "dev"))

    names = [one.name.removeprefix("bikeshare-dev-") for one in found]
    assert names == [
        "data",
        "roles",
        "catalog",
        "mlflow",
        "deployer",
        "alerts-boston",
        "jobs-boston",
    ]
    assert [one.name for one in found if one.kept] == ["bikeshare-dev-data", "bikeshare-dev-mlflow"]


def test_the_stacks_of_a_city_that_left_the_file_are_told_and_go_by_its_name(
    stacks: Stacks,
) -> None:
    env = aws.load(SETTINGS, "dev")
    of_paris = [stack("One", name=f"bikeshare-dev-{kind}-paris") for kind in ("alerts", "jobs")]
    others = [stack("Two", name="bikeshare-prod-jobs-paris"), stack("Three")]
    for one in [*of_paris, *others]:
        applied(stacks, one)

    left = aws.left_over(stacks, env, aws.made(SETTINGS, env))
    found = aws.diff(stacks, [stack("Three")], left=left)

    assert list(found.left) == ["bikeshare-dev-alerts-paris", "bikeshare-dev-jobs-paris"]
    assert not found.none
    assert "bikeshare-dev-jobs-paris: left over, and paid for" in aws.compared(found)
    assert aws.facts(found)["bikeshare-dev-jobs-paris"]["action"] == "left over"
    gone = aws.destroy(stacks, aws.of_city(env, "paris"))
    assert list(gone.items()) == [
        ("bikeshare-dev-jobs-paris", "deleted"),
        ("bikeshare-dev-alerts-paris", "deleted"),
    ]
    assert stacks.there("bikeshare-") == ["bikeshare-dev-data", "bikeshare-prod-jobs-paris"]


def test_an_interrupted_deploy_of_several_stacks_goes_on_where_it_was(stacks: Stacks) -> None:
    first, second = stack("One"), stack("Two", name="bikeshare-dev-roles")
    stacks.apply(stacks.plan(first))

    done = aws.deploy(stacks, aws.plan(stacks, [first, second]), told=lambda _: None)

    assert done == {
        "bikeshare-dev-data": "nothing: CREATE_COMPLETE",
        "bikeshare-dev-roles": "create: CREATE_COMPLETE",
    }


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_an_environment_has_all_that_its_templates_ask_for(name: str) -> None:
    env = aws.load(SETTINGS, name)

    found = {one.name: one for one in aws.wanted(SETTINGS, env, image="0.1.0")}

    assert list(found) == [
        f"bikeshare-{name}-{kind}"
        for kind in ("data", "roles", "catalog", "alerts-boston", "jobs-boston")
    ]
    assert found[f"bikeshare-{name}-jobs-boston"].parameters["JobsImage"] == "0.1.0"
    assert found[f"bikeshare-{name}-alerts-boston"].parameters["ProdEndpoint"] == "bikeshare-prod"
    assert env.region == "ca-central-1"


def test_without_an_image_there_are_no_jobs_yet() -> None:
    names = [one.name for one in aws.wanted(SETTINGS, aws.load(SETTINGS, "dev"))]

    assert not [name for name in names if "jobs" in name]


@pytest.mark.filterwarnings("ignore:Tried to parse")  # moto passes over what it does not know
def test_the_templates_of_an_environment_are_deployed_and_destroyed_on_the_wire(
    stacks: Stacks,
) -> None:
    made = aws.wanted(SETTINGS, aws.load(SETTINGS, "dev"))
    wanted = [dataclasses.replace(one, document=for_moto(one.document)) for one in made]

    done = aws.deploy(stacks, aws.plan(stacks, wanted), told=lambda _: None)

    assert set(done.values()) == {"create: CREATE_COMPLETE"}
    assert all(one.action == "nothing" for one in aws.plan(stacks, wanted))
    told = aws.destroy(stacks, wanted)
    assert [name for name, what in told.items() if what == "kept"] == ["bikeshare-dev-data"]


@pytest.mark.parametrize(
    ("name", "said"), [("qa", "expected one of dev, staging, prod"), ("../dev", "--env")]
)
def test_an_unknown_environment_is_refused(name: str, said: str) -> None:
    with pytest.raises(CloudError, match=said):
        aws.load(SETTINGS, name)


def test_an_option_that_lacks_a_parameter_says_where_to_add_it() -> None:
    env = aws.load(SETTINGS, "dev")
    asked = dataclasses.replace(env, options=("deployer",))

    with pytest.raises(CloudError, match=r"needs Repository: add them to .*dev\.toml"):
        aws.wanted(SETTINGS, asked)


@pytest.fixture
def as_a_person(there: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and addresses as boto3 itself finds them."""
    monkeypatch.setenv("BIKESHARE_HOME", str(ROOT))
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", there.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.mark.usefixtures("as_a_person")
def test_the_command_shows_what_is_missing_and_says_so_by_its_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["aws", "diff", "--env", "dev", "--image", "0.1.0"]) == 1

    told = capsys.readouterr().out
    assert "bikeshare-dev-data: create\n  + AWS::KMS::Key Key" in told
    assert "+ AWS::Lambda::Function InferFunction" in told
    assert "nothing was changed by hand" in told


@pytest.mark.usefixtures("as_a_person")
def test_nothing_is_deleted_unless_the_environment_is_named_twice(
    there: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["aws", "destroy", "--env", "dev", "--confirm", "prod"]) == 2
    assert "nothing was deleted" in capsys.readouterr().err
    assert main(["aws", "destroy", "--env", "dev", "--confirm", "dev"]) == 0
    assert "bikeshare-dev-roles: was not there" in capsys.readouterr().out
    assert main(["aws", "destroy", "--env", "dev", "--city", "lyon", "--confirm", "dev"]) == 0
    assert set(capsys.readouterr().out.splitlines()) == {
        "bikeshare-dev-alerts-lyon: was not there",
        "bikeshare-dev-jobs-lyon: was not there",
    }
    assert not there.asked("DeleteStack")


@pytest.mark.usefixtures("as_a_person")
def test_an_account_that_refuses_is_one_line(
    there: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    there.log.clear()

    assert main(["aws", "diff", "--env", "dev"]) == 2

    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("bikeshare: stack bikeshare-dev-*: AWS cannot be asked")
