"""Tune: search training settings on held-out days, every candidate a nested MLflow run.

Candidates train on the same rolling folds; after each fold one that is below the median of those
before it is pruned. The study is a journal in the workspace, named by all that its scores depend
on: the same command goes on where it was stopped. The first candidate is the present settings.

Input    a window of stored days (None: all but those that `bikeshare train` tests on), and how many
         candidates there shall be in all.
Output   `Tuned`: the best candidate's settings, what it and the present ones reach.
Raises   InputError for too few days, or held-out days without an onset; Refused while
         another process searches the same.
"""

import dataclasses
import fcntl
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import feature_digest
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.process.progress import Track, counted, silent
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.flows.train import choose_split, plan_of
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan
from mlops_bikeshare.training.tuning import FoldScore, rolling, score

if TYPE_CHECKING:
    from optuna import Study, Trial

SETTINGS = ("leaves", "learning_rate", "feature_fraction", "lambda_l2")
# How good a plan is on each fold, in order; closed before its end, where that is not asked.
Scores = Callable[[Plan], Generator[FoldScore]]
OBJECTIVE, PRESENT = "onset_pr_auc", "present"
_NOTE = (
    "Candidates for the training settings, each a nested run. Select them and press Compare for"
    f" parallel coordinates; `{OBJECTIVE}` is the mean of both targets 30 minutes ahead on held-out"
    " days, its step the fold, and its last value what is maximised. Pruned candidates end early."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What a search found; `present` is what the settings as they were reach."""

    city: str
    window: Window
    run_id: str
    complete: int
    pruned: int
    best: Mapping[str, float]
    best_onset_pr_auc: float
    present_onset_pr_auc: float | None


def scores_here(
    ws: Workspace, city: City, folds: Sequence[Split], plan: Plan, track: Track
) -> Scores:
    """Read the rows of all folds; score one after the other."""
    table = training_table.load_folds(ws, city, folds, plan, track)
    return lambda tried: (score(table, split, tried) for split in folds)


def tune(
    ws: Workspace,
    city: City,
    *,
    window: Window | None = None,
    trials: int = 20,
    folds: int = 3,
    track: Track = silent,
    scorer: Callable[[Workspace, City, Sequence[Split], Plan, Track], Scores] = scores_here,
) -> Tuned:
    """Search until there are `trials` candidates, those of earlier runs included."""
    plan = dataclasses.replace(plan_of(ws.settings), with_peer=False)
    chosen = window or _before_test(ws, city)
    parts = rolling(chosen, folds=folds)
    scores = scorer(ws, city, parts, plan, track)
    mlflow = tracking.connect(ws)
    name = _name(ws, city, parts, plan, chosen)
    with _alone(ws, name), _run(ws, city, study := _study(ws, name, plan), chosen) as active:
        left = max(0, trials - _ended(study))
        with counted(track, label=f"tune {city.name}", total=left) as tick:
            for _ in range(left):
                _candidate(mlflow, study, scores, plan, folds=folds)
                tick()
        return _told(mlflow, study, city, chosen, active.info.run_id)


def summary(tuned: Tuned) -> str:
    """The best settings, as lines for bikeshare.toml."""
    present = tuned.present_onset_pr_auc
    was = "unknown" if present is None else f"{present:.4f}"
    tried = f"{tuned.complete} candidates, {tuned.pruned} more pruned"
    reached = f"onset PR-AUC {tuned.best_onset_pr_auc:.4f}, with the present settings {was}"
    lines = [f"{tuned.city} {tuned.window}: {tried}; {reached}", "[training]"]
    lines += [f"{name} = {value:.6g}" for name, value in tuned.best.items()]
    return "\n".join(lines)


def _before_test(ws: Workspace, city: City) -> Window:
    split = choose_split(ws, city)
    return Window(split.train.start, split.calibrate.end)


def _suggested(trial: "Trial", plan: Plan) -> Plan:
    params = dataclasses.replace(
        plan.params,
        leaves=trial.suggest_int("leaves", 7, 255, log=True),
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        feature_fraction=trial.suggest_float("feature_fraction", 0.3, 1.0),
        lambda_l2=trial.suggest_float("lambda_l2", 0.01, 100.0, log=True),
    )
    return dataclasses.replace(plan, params=params)


def _candidate(mlflow: Any, study: "Study", scores: Scores, plan: Plan, *, folds: int) -> None:
    """Ask for a candidate, score it fold by fold, tell what came of it."""
    from optuna.trial import TrialState

    trial = study.ask()
    tried = _suggested(trial, plan)
    with mlflow.start_run(run_name=f"candidate {trial.number:03}", nested=True):
        mlflow.set_tags({"kind": "candidate", "trial": str(trial.number)})
        mlflow.log_params(trial.params)
        trial.set_user_attr("run_id", mlflow.active_run().info.run_id)
        means: list[float] = []
        with closing(scores(tried)) as found:
            for fold, one in enumerate(found, start=1):
                means.append(one.mean)
                value = float(np.mean(means))
                _log(mlflow, one, fold=fold, value=value, last=fold == folds)
                trial.report(value, fold)
                if fold < folds and trial.should_prune():
                    mlflow.set_tag("state", "pruned")
                    study.tell(trial, state=TrialState.PRUNED)
                    return
        mlflow.set_tag("state", "complete")
        study.tell(trial, float(np.mean(means)))


def _log(mlflow: Any, found: FoldScore, *, fold: int, value: float, last: bool) -> None:
    by_target = {f"{OBJECTIVE}_{t}": v for t, v in found.onset_pr_auc.items()}
    mlflow.log_metrics({OBJECTIVE: value, **by_target}, step=fold)
    if last:
        curves = [
            (f"log_loss_early_stop_{target}", loss, tree)
            for target, booster in found.boosters.items()
            for tree, loss in enumerate(booster.curve, start=1)
        ]
        tracking.log_steps(mlflow.active_run().info.run_id, curves)


def _name(ws: Workspace, city: City, parts: Sequence[Split], plan: Plan, window: Window) -> str:
    """The name of the study of this question on these data."""
    fixed = {k: v for k, v in dataclasses.asdict(plan.params).items() if k not in SETTINGS}
    asked = repr(
        (
            city.name,
            [str(p) for p in parts],
            training_table.data_digest(ws, city, window),
            feature_digest(city.label),
            str(city.label),
            fixed,
            plan.max_rows,
            PROMISE_MIN,
        )
    )
    return f"{city.name}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


@contextmanager
def _alone(ws: Workspace, name: str) -> Iterator[None]:
    """One process per study: a second one would take the first one's candidate for cut off."""
    ws.path.mkdir(parents=True, exist_ok=True)
    with (ws.path / f"tune-{name}.lock").open("w") as lock:
        try:
            # The kernel drops it with the process, so a kill leaves nothing to clean up.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another process searches {name} in workspace {ws.settings.workspace!r}"
            raise Refused(f"{msg}; wait for it, or choose another --window or --folds") from None
        yield


def _study(ws: Workspace, name: str, plan: Plan) -> "Study":
    """The workspace's study of a name; a candidate that was cut off is asked again."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(ws.path / "tune.journal")))
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )
    # A sampler's state is not stored: seeded by what is there, a resumed one repeats nothing.
    study.sampler = optuna.samplers.TPESampler(seed=plan.params.seed + len(study.trials))
    _ask_again(study)
    if not study.trials:
        present = {name: getattr(plan.params, name) for name in SETTINGS}
        study.enqueue_trial(present, user_attrs={PRESENT: True})
    return study


def _ask_again(study: "Study") -> None:
    """Put the candidates in line again that an earlier search did not finish."""
    from mlflow import MlflowClient
    from optuna.trial import TrialState

    for cut in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(cut.number, state=TrialState.FAIL)
        kept = {PRESENT: True} if PRESENT in cut.user_attrs else None
        study.enqueue_trial(cut.params, user_attrs=kept)
        if "run_id" in cut.user_attrs:
            MlflowClient().set_terminated(cut.user_attrs["run_id"], "KILLED")


def _ended(study: "Study") -> int:
    """Candidates that were scored, to their end or until they were pruned."""
    from optuna.trial import TrialState

    return len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))


@contextmanager
def _run(ws: Workspace, city: City, study: "Study", window: Window) -> Iterator[Any]:
    """The study's own run, the same one when it goes on."""
    name, tags = f"tune · {city.name} · {window}", {"kind": "tuning", "study": study.study_name}
    known = study.user_attrs.get("run_id")
    with tracking.run(ws, city, name, tags, note=_NOTE, run_id=known) as active:
        study.set_user_attr("run_id", active.info.run_id)
        yield active


def _told(mlflow: Any, study: "Study", city: City, window: Window, run_id: str) -> Tuned:
    from optuna.trial import TrialState

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    pruned = study.get_trials(states=(TrialState.PRUNED,))
    if not complete:
        raise InputError("no candidate was scored to its end; ask for more with --trials")
    mlflow.log_metrics({f"best_{OBJECTIVE}": study.best_value, "candidates": len(complete)})
    mlflow.set_tags({f"best_{name}": f"{value:.6g}" for name, value in study.best_params.items()})
    values = [t.value for t in complete if PRESENT in t.user_attrs]
    return Tuned(
        city=city.name,
        window=window,
        run_id=run_id,
        complete=len(complete),
        pruned=len(pruned),
        best=dict(study.best_params),
        best_onset_pr_auc=float(study.best_value),
        present_onset_pr_auc=values[0] if values else None,
    )
