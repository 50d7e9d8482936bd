"""What a batch says about itself: its heartbeat, and the share of rows that a model answered.

Input    the counts of a batch; or a decision time whose rows are in the lake.
Output   metrics of the batch, posted once for each (endpoint, city, dt), however often it is tried.

A run can end between writing its rows and posting. What it left unsaid is read back from the lake:
how many stations were asked (features_online) and how many of them a model answered (inference).
"""

from datetime import datetime, timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import CADENCE_S, Window, stamp
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.monitoring.heartbeat import batch_points
from mlops_bikeshare.monitoring.metrics import MODEL

REACH = timedelta(hours=1)


def object_name(endpoint: str, dt: datetime) -> str:
    """The batch's object in `inference`."""
    return f"{endpoint}_{stamp(dt)}"


def there(ws: Workspace, city: City, endpoint: str, dt: datetime) -> bool:
    """Whether the batch has written its rows."""
    return ws.lake.has(INFERENCE, city=city.name, day=dt.date(), name=object_name(endpoint, dt))


def post(
    ws: Workspace, city: City, endpoint: str, dt: datetime, *, asked: int, answered: int, rows: int
) -> None:
    """Say it; a batch of stand-ins alone is no sign of the model's life."""
    points = batch_points(
        endpoint=endpoint,
        city=city.name,
        dt=dt,
        asked=asked,
        answered=answered,
        written=rows if answered else 0,
    )
    ws.metrics.put(points, once=f"batch {city.name} {object_name(endpoint, dt)} {answered > 0}")


def mend(ws: Workspace, city: City, endpoint: str, *, up_to: datetime) -> list[datetime]:
    """Post what batches of the last hour wrote and did not say; their decision times."""
    cadence = timedelta(seconds=CADENCE_S)
    window = Window(up_to - REACH + cadence, up_to + cadence)
    of = {"EndpointName": endpoint, "City": city.name}
    said = ws.metrics.series(
        MODEL, "BatchSuccessRate", of, window=window, statistic="Minimum", period_s=CADENCE_S
    )
    silent = [dt for dt in window.steps(step_s=CADENCE_S) if dt not in dict(said)]
    owed = [dt for dt in silent if there(ws, city, endpoint, dt)]
    for dt in owed:
        _post_late(ws, city, endpoint, dt)
    return owed


def _post_late(ws: Workspace, city: City, endpoint: str, dt: datetime) -> None:
    at = Window(dt, dt + timedelta(seconds=1))
    asked = ws.lake.read(ONLINE, city=city.name, window=at, columns=["station_id"])
    rows = ws.lake.read(INFERENCE, city=city.name, window=at, name_prefix=object_name(endpoint, dt))
    answered = rows.loc[rows["source"] == "model", "station_id"].nunique()
    post(ws, city, endpoint, dt, asked=len(asked), answered=answered, rows=len(rows))
