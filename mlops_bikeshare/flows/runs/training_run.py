"""What a training leaves in its MLflow run: a name, a note, scores, pictures and its data.

Input    a Candidate, with the run's id.
Output   metrics `<score>_<target>` with the horizon as step (tests only), the promised horizon
         again as `<score>_<target>_at_30` (MLflow's tables show a metric's last step, which is
         120 min), `log_loss_early_stop_<target>` with the tree as step (of the promised
         horizon's trees, those of the others as `…_<target>_others`); pictures;
         `quality.json`, `evidence.json` (dispatch, slices, alarms), `shap.json`, the card.
Raises   what MLflow raises when its store does not answer.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import TargetQuality, to_json
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.pages.pictures import png
from mlops_bikeshare.flows.runs import evidence, panels
from mlops_bikeshare.flows.tracking import Stepped
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.training.by_horizon import OTHERS_MIN, ByHorizon, importance
from mlops_bikeshare.training.candidate import Candidate
from mlops_bikeshare.training.split import Split

DIGEST_SHOWN = 32  # MLflow takes 36 characters


def name(city: City, split: Split, *, label: str) -> str:
    """Such as `champion · demo · 06-02..06-08`."""
    return f"{label} · {city.name} · {split.train.start:%m-%d}..{split.train.end:%m-%d}"


def note(city: City, split: Split) -> str:
    """What the run is, for people."""
    tested = (
        f"its scores are of {split.test}, which it never saw"
        if split.test
        else "it kept no days for a test: it is judged by the days it serves (`replay/` or `live/`)"
    )
    return (
        f"Trees for bike and dock stockouts in {city.name}, 10 to 120 minutes ahead, learned from"
        f" {split.train} and calibrated on {split.calibrate}. The step of a score is the horizon in"
        f" minutes; {tested}."
    )


def log(candidate: Candidate, *, run_id: str, told: Mapping[str, Any] | None = None) -> None:
    """Scores, loss curves, pictures of both and of what the trees look at, and the evidence."""
    import mlflow

    losses = _losses(candidate.boosters)
    trees = _by_tree(losses)
    found = told or {}
    tracking.log_steps(run_id, [*steps(candidate.quality), *trees, *evidence.steps(found)])
    log_peer(candidate, run_id=run_id)
    gains = {target: importance(trees) for target, trees in candidate.boosters.items()}
    pictures = {
        "early_stopping": panels.loss_panels(losses),
        "importance": panels.importance_panels(gains),
        "shap": panels.contribution_panels(candidate.contributions),
        "test_curves": panels.curve_panels(candidate.curves),
    }
    drawn = {label: png(*shown) for label, shown in pictures.items() if shown}
    tracking.log_pictures(run_id, drawn)
    if candidate.quality:
        mlflow.log_text(json.dumps(to_json(candidate.quality), indent=1), "quality.json")
    if candidate.contributions:
        mlflow.log_text(json.dumps(candidate.contributions, indent=1), "shap.json")
    if found:
        mlflow.log_text(json.dumps(found, indent=1), "evidence.json")


def _losses(boosters: Mapping[str, ByHorizon[Any]]) -> dict[str, tuple[float, ...]]:
    """Log loss per tree, by target: the promised horizon's, and as `<target>_others` the rest."""
    promised = {t: trees.parts[PROMISE_MIN,].curve for t, trees in boosters.items()}
    return promised | {
        f"{t}_others": trees.parts[OTHERS_MIN].curve for t, trees in boosters.items()
    }


def _by_tree(losses: Mapping[str, Iterable[float]], *, prefix: str = "") -> list[Stepped]:
    return [
        (f"{prefix}log_loss_early_stop_{name}", loss, i)
        for name, curve in losses.items()
        for i, loss in enumerate(curve, start=1)
    ]


def log_peer(candidate: Candidate, *, run_id: str) -> None:
    """The peer's scores and loss curves beside ours, as `peer_…`."""
    import mlflow

    if candidate.peer is None:
        return
    trees = _by_tree(_losses(candidate.peer.boosters), prefix="peer_")
    tracking.log_steps(run_id, [*steps(candidate.peer.quality, prefix="peer_"), *trees])
    boosters = candidate.peer.boosters.items()
    mlflow.log_metrics({f"peer_train_seconds_{t}": b.seconds for t, b in boosters})
    mlflow.log_metrics({f"train_seconds_{t}": b.seconds for t, b in candidate.boosters.items()})
    mlflow.log_params({f"peer_trees_{t}": b.best_iteration for t, b in boosters})


def log_card(card: str, *, note: str) -> None:
    """The model card as a file, and rendered on the page of the active run."""
    import mlflow

    mlflow.log_text(card, "model_card.md")
    mlflow.set_tag(tracking.NOTE_TAG, f"{note}\n\n{card}")


def log_input(city: City, window: Window, digest: str) -> None:
    """Name the features that training read, with their digest, as an input of the active run."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source = CodeDatasetSource({"table": "features_offline", "city": city.name})
    label = f"features_offline · {city.name} · {window}"
    dataset = MetaDataset(source, name=label, digest=digest[:DIGEST_SHOWN])
    mlflow.log_input(dataset, context="training")


def describe(city: City, version: ModelVersion, split: Split, candidate: Candidate) -> None:
    """A description for the version, and one for the model when it is new."""
    from mlflow import MlflowClient

    client = MlflowClient()
    effort = ", ".join(f"{t} {b.best_iteration} trees" for t, b in candidate.boosters.items())
    text = (
        f"Learned from {candidate.rows['fit']:,} rows of {split.train}, calibrated on"
        f" {split.calibrate}; {effort}. {_tested(split, candidate.quality)}"
    )
    client.update_model_version(version.name, version.version, description=text)
    if not client.get_registered_model(version.name).description:
        client.update_registered_model(version.name, description=_model_text(city))


def steps(quality: Iterable[TargetQuality], *, prefix: str = "") -> list[Stepped]:
    """Every known score with its horizon as step, and the promised horizon by itself."""
    found = []
    for q in quality:
        for score, value in values(q).items():
            if value is not None:
                metric = f"{prefix}{score}_{q.target}"
                found.append((metric, value, q.horizon_min))
                if q.horizon_min == PROMISE_MIN:
                    found.append((f"{metric}_at_{PROMISE_MIN}", value, PROMISE_MIN))
    return found


def values(q: TargetQuality) -> dict[str, float | None]:
    """The scores of one target at one horizon, by the names of our metrics."""
    return {
        "pr_auc": q.model.pr_auc,
        "f1": q.model.f1,
        "brier": q.model.brier,
        "ece": q.model.ece,
        "onset_pr_auc": q.model.onset_pr_auc,
        "brier_skill": q.brier_skill,
        "onset_brier_skill": q.onset_brier_skill,
        "persistence_pr_auc": q.persistence.pr_auc,
        "persistence_onset_pr_auc": q.persistence.onset_pr_auc,
    }


def test_tags(candidate: Candidate) -> dict[str, str]:
    """The version's own test at the promised horizon, for a first deploy to be judged by."""
    return tags(candidate.quality, prefix="test_")


def tags(quality: Iterable[TargetQuality], *, prefix: str) -> dict[str, str]:
    """Scores at the promised horizon as tags of a version."""
    return {
        f"{prefix}{score}_{q.target}": f"{value:.6f}"
        for q in quality
        if q.horizon_min == PROMISE_MIN
        for score, value in values(q).items()
        if value is not None
    }


def _tested(split: Split, quality: Iterable[TargetQuality]) -> str:
    promised: list[Any] = [
        f"{q.target} {q.model.onset_pr_auc:.3f} (persistence {q.persistence.onset_pr_auc:.3f})"
        for q in quality
        if q.horizon_min == PROMISE_MIN
        if q.model.onset_pr_auc is not None and q.persistence.onset_pr_auc is not None
    ]
    if not promised:
        return "It kept no days for a test; the tags `replay_` or `live_` say how it served."
    return f"Onset PR-AUC {PROMISE_MIN} min ahead on {split.test}: {', '.join(promised)}."


def _model_text(city: City) -> str:
    return (
        f"Whether a station of {city.name} runs out of bikes or docks in the next two hours. The"
        f" alias `champion` serves production, `challenger` is judged on staging, and"
        f" `previous_champion` is what a rollback restores."
    )
