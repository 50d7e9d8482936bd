"""What somebody expects to be released, against what would be.

Input    a version and the names of endpoints, each of them or None (anything).
Raises   Refused, before anything is done: whoever approved a release approved that one.
"""

from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.registry import versions

if TYPE_CHECKING:
    from mlops_bikeshare.settings import Stage


def check(
    ws: Workspace, city: City, *, version: str | None, staging: str | None, prod: str | None
) -> None:
    """Refuse what differs; a version that has landed meanwhile is the one that was meant."""
    named: dict[Stage, str | None] = {"staging": staging, "prod": prod}
    for stage, name in named.items():
        is_ = ws.settings.endpoint(stage, city.name)
        if name is not None and name != is_:
            raise Refused(f"{city.name}: {stage} is {is_}, not {name}; nothing was done")
    if version is None:
        return
    tracking.connect(ws)
    found = [
        one.version
        for alias in (versions.CHALLENGER, versions.CHAMPION)
        if (one := versions.find_if_any(city.registered_model, alias)) is not None
    ]
    if version not in found:
        there = found[0] if found else "none"
        raise Refused(f"{city.name}: the challenger is version {there}, not {version}")
