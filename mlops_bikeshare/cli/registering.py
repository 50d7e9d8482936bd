"""Commands of the registries: `bikeshare registry sync`."""

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, opened


def sync(city: CityName = None, json_: AsJson = False) -> None:
    """Let SageMaker's Model Registry say what MLflow's says; prints what it changed.

    MLflow decides. Fails where something could not be changed; run it again.
    """
    from mlops_bikeshare.flows import model_packages as flow

    ws, where = opened(city)
    done = flow.sync(ws, where)
    screen.show(done, flow.summary(done), as_json=json_)
    if done.failed:
        raise typer.Exit(2)
