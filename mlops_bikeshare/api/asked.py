"""What may be asked: the bodies of requests, checked before anything is done.

Unknown fields are refused; a field that is left out has its default. Every request to do something
has a body, `{}` at least: a page of another site cannot send one as JSON.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_RECORDS = 500
Name = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
Chance = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[str, Field(max_length=60, description="START..END, UTC, end exclusive")]


class Asked(BaseModel):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid")
    city: Name | None = Field(default=None, description="Default: that of the settings.")


class Train(Asked):
    """Train a challenger on what the lake holds."""

    target: Literal["both", "bikeout", "dockout"] = Field(
        default="both",
        description="Whose scores are told; a version always answers both.",
    )
    window: Range | None = Field(
        default=None, description="Days to learn from, the last of them to test; default: all."
    )
    test_mode: bool = Field(
        default=False,
        description="Few trees from few rows, and no alias: it tries the way, nothing follows.",
    )


class Predict(Asked):
    """Ask an endpoint about records of features."""

    records: list[dict[str, Chance | None]] = Field(min_length=1, max_length=MOST_RECORDS)
    endpoint: Name | None = Field(default=None, description="Default: the city's production.")


class Gate(Asked):
    """Judge an endpoint."""

    endpoint: Name | None = Field(default=None, description="Default: the city's staging.")
    window: Annotated[str, Field(max_length=10)] | None = Field(
        default=None, description="Such as 24h; less than the settings ask for fails."
    )


class Promote(Asked):
    """Move the gated challenger to production."""

    canary: bool = Field(default=False, description="10 %, 50 %, 100 %; goes on at each call.")


class Rollback(Asked):
    """Put an earlier version back on production."""

    to: Annotated[str, Field(max_length=20)] | None = Field(
        default=None, description="Version; default: the champion before."
    )
    reason: Annotated[str, Field(max_length=500)] = "asked for over the API"


class JobTold(BaseModel):
    """A job, as it is now."""

    id: str
    kind: Literal["train", "gate", "promote", "rollback"]
    city: str
    asked: dict[str, Any]
    state: Literal["queued", "running", "done", "refused", "failed", "interrupted"]
    asked_at: str
    began_at: str | None
    ended_at: str | None
    attempts: int
    result: dict[str, Any] | None = Field(description="What it made, once it is done.")
    error: str | None = Field(description="Why it is refused, failed or interrupted.")


class ModelTold(BaseModel):
    """The version that answered."""

    version: str
    artefact_digest: str
    trained_at: str
    horizons_min: list[int]


class ChancesTold(BaseModel):
    """Chances of one record, in the order of the horizons."""

    model_version: str | None
    p_bikeout: list[float]
    p_dockout: list[float]


class PredictedTold(BaseModel):
    """Answers in the order of the records."""

    endpoint: str
    champion: ModelTold
    predictions: list[ChancesTold]
