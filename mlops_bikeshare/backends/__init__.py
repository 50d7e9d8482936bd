"""The only place that picks adapters: opens a workspace for the profile in the settings.

A workspace is a lake, metrics, a clock and files of its own under var/<workspace>. It has one
kind of clock, recorded in workspace.json with a replay's time; opening it with the other kind
raises SettingsError. With profile aws all of it lies in the lake's bucket, and var/<workspace> is a
place for caches alone. Adapters are made when first used.
"""

from mlops_bikeshare.backends.adapters import Access
from mlops_bikeshare.backends.opening import check_may_simulate, exists, open_workspace
from mlops_bikeshare.backends.workspace import STATE_FILE, Workspace

__all__ = ["STATE_FILE", "Access", "Workspace", "check_may_simulate", "exists", "open_workspace"]
