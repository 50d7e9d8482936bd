"""Features on a Dask cluster: the same objects in the lake as `features`, bit for bit.

Input    as of `features.build`; the address of a scheduler, or how many workers to start here.
Output   Built, as of `features.build`.
Raises   what `features.build` raises; SettingsError without Dask, InputError without a scheduler.
"""

from dataclasses import replace

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import features
from mlops_bikeshare.flows.features import Built
from mlops_bikeshare.flows.process.logged import logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.flows.scaling import cluster, feature_blocks


@logged("features on dask", features.told)
def build(
    ws: Workspace,
    city: City,
    *,
    window: Window | None = None,
    scheduler: str | None = None,
    workers: int = 2,
    track: Track = silent,
) -> Built:
    """Build every whole day of `window` (default: all) that is over and not there yet."""
    days = features.whole_days(ws, city, window)
    features.check_definition(ws, city)
    new = [day for day in days if not features.is_built(ws, city, day)]
    built = Built(
        city=city.name,
        window=Window(Window.day(days[0]).start, Window.day(days[-1]).end),
        days_written=len(new),
        days_there=len(days) - len(new),
        rows=0,
    )
    if not new:
        return built
    where = feature_blocks.Where(ws.settings, ws.clock, city)
    with cluster.client(scheduler, workers=workers) as client:
        count = max(1, len(client.scheduler_info()["workers"]))
        blocks = feature_blocks.blocks_of(new, workers=count)
        made = feature_blocks.build(client, where, blocks)
        rows = sum(track(made, label=f"features {city.name}", total=len(blocks)))
    return replace(built, rows=rows)
