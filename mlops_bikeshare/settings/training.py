"""Settings of training and retraining."""

from dataclasses import dataclass
from typing import Annotated, Literal

from mlops_bikeshare.domain.bounds import Between, Spelt


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How much to train on, and how."""

    max_rows: Annotated[
        int, "most (station, dt) rows per training; more are sampled", Between(1)
    ] = 800_000
    rounds: Annotated[int, "most trees per target; early stopping takes fewer", Between(1)] = 400
    learning_rate: Annotated[float, "how much each tree may correct", Between(0.001, 1)] = 0.1
    leaves: Annotated[int, "most leaves of a tree", Between(2, 131_072)] = 31
    feature_fraction: Annotated[
        float, "share of the features that each tree may use", Between(0.01, 1)
    ] = 0.4
    lambda_l2: Annotated[float, "how much leaves are drawn towards 0", Between(0, 1e6)] = 1.0
    cost_ratio: Annotated[
        float,
        "cost of a missed stockout / cost of a false alarm; sets the alarm threshold",
        Between(0.01, 1000),
    ] = 4.0
    peer: Annotated[
        Literal["none", "xgboost"],
        "model of the same size, trained on the same rows, that the run reports beside ours",
    ] = "none"
    threads: Annotated[
        int, "threads of LightGBM in training; serving always uses one", Between(1, 1024)
    ] = 2
    seed: Annotated[
        int,
        "seed of sampling and trees: the same data gives the same model",
        Between(0, 2**31 - 1),
    ] = 20_210_901


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSettings:
    """What a retraining learns from, and what it must gain to be deployed."""

    sliding_days: Annotated[
        int, "days of training before the recent ones, with the baseline", Between(1)
    ] = 30
    recent_days: Annotated[int, "newest days, which judge candidate and champion", Between(1)] = 7
    least_gain: Annotated[
        float, "least gain in onset PR-AUC on them, the worse target", Between(0, 1)
    ] = 0.02
    frozen_tolerance: Annotated[
        float, "onset PR-AUC that a candidate may lose on the frozen set", Between(0, 1)
    ] = 0.02
    drift_share: Annotated[
        float, "share of drifted features that asks for a retraining", Between(0, 1)
    ] = 0.5
    warning_below: Annotated[
        float, "PR-AUC-24h so far below the champion's own test is a warning", Between(0, 1)
    ] = 0.05
    falling: Annotated[
        float, "PR-AUC-24h less than over the days before by this much falls", Between(0, 1)
    ] = 0.02
    most_days: Annotated[int, "age of what the champion learned from", Between(1)] = 45
    seasons: Annotated[
        str,
        "first days of seasons; one that the champion has seen nothing of asks for a retraining",
        Spelt(r"((0[1-9]|1[0-2])-([01]\d|2[0-8])( |$))*", "of days such as 03-15 06-15, or none"),
    ] = "03-15 06-15 09-15 12-15"
