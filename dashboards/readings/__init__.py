"""The only readers of the dashboard, one module per page; nothing else of it reads anything.

`choosing` decides what to read, `clients` opens what it is read with, the others answer a page.
Each answers with a frozen reading or with `Empty`: what there is not, and what to type. Times are
aware UTC; unknown is NaN or None. Reading changes nothing: a workspace that is not there is not
made. Raises SettingsError for settings that cannot be read, LakeError for a source that fails.
"""

from dashboards.readings.choosing import Choice, Chosen, Empty, choose
from dashboards.readings.city import CityReading, read
from dashboards.readings.clients import Clients, connect, opened

__all__ = [
    "Choice",
    "Chosen",
    "CityReading",
    "Clients",
    "Empty",
    "choose",
    "connect",
    "opened",
    "read",
]
