"""The gate's checks: what each is for, and whether a person may waive it.

A check's name begins with its entry's name; what follows is the variant or the target it is about.
"""

from dataclasses import dataclass

from mlops_bikeshare.domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of check."""

    name: str
    meaning: str
    waivable: bool = False


CATALOGUE: tuple[Check, ...] = (
    Check("window", "the verdict looks at as many hours as the settings ask for"),
    Check("PR-AUC-24h", "average precision at 30 min, the worse target"),
    Check("F1-24h", "F1 at the version's threshold, the worse target"),
    Check("Onset-Brier-Skill-24h", "skill over persistence where a station is not out yet"),
    Check("QualitySamples-24h", "labelled rows, the target that has fewer"),
    Check("quality of record", "the metrics are those of the table's window"),
    Check("ModelLatency p95", "every hour of each variant"),
    Check("Invocation5XXErrors", "sum over all variants"),
    Check("PredictionHeartbeat", "decision times whose batch ran"),
    Check("prediction coverage", "rows asked that this version answered with numbers"),
    Check("PSI", "the largest of a feature in any hour of the window", waivable=True),
    Check("online features as offline", "rows used online that history does not give"),
    Check("artefact digest", "the endpoint serves the registered artefact"),
    Check("model city", "the endpoint serves a model of this city"),
    Check("beats persistence", "upper end of the interval of the Brier difference"),
    Check("non-inferior", "upper end of the interval of the difference from the champion"),
    Check("worst neighbourhood", "lower end of the interval of the difference from the champion"),
)


def check_of(name: str) -> Check:
    """The entry of a check; InputError for a name that no check has."""
    found = [
        check for check in CATALOGUE if name == check.name or name.startswith(f"{check.name} ")
    ]
    if not found:
        known = ", ".join(check.name for check in CATALOGUE)
        raise InputError(f"there is no check {name!r}; known: {known}")
    return found[0]
