"""The error tree. A message says what, where, what was expected, and what to do.

BikeshareError              2   anything a person can mend
├── SettingsError           2   a flag, an environment variable or a key of bikeshare.toml
├── InputError              2   a parameter of a flow or of an MLproject entry point
├── SourceError             2   a recording, a feed or a weather source
├── TableError              2   rows that do not meet the contract of their table
├── LakeError               2   an object that is missing, or exists already
├── GridError               2   slots, horizons or stations that do not fit together
├── ModelError              2   an artefact, a version or an alias
├── EndpointError           2   the endpoint host or SageMaker
├── CloudError              2   an account of AWS: its stacks, a template, a price
└── Refused                 1   a decision went against: the gate, a promotion, a rollback

The number is the exit code of `bikeshare`. Raised anywhere, caught only at the entry points.
"""


class BikeshareError(Exception):
    """Base of everything this project raises on purpose."""

    exit_code = 2


class SettingsError(BikeshareError):
    """A flag, an environment variable or a key of bikeshare.toml is wrong."""


class InputError(BikeshareError):
    """A parameter is missing, malformed or out of range."""


class SourceError(BikeshareError):
    """A recording, a feed or a weather source cannot be read."""


class TableError(BikeshareError):
    """Rows do not meet the contract of their table."""


class LakeError(BikeshareError):
    """An object of the lake is missing, unreadable, or exists already."""


class GridError(BikeshareError):
    """Slots, horizons or stations do not fit together."""


class ModelError(BikeshareError):
    """An artefact, a registered version or an alias is not what it should be."""


class EndpointError(BikeshareError):
    """The endpoint host or SageMaker refused, failed, or is not there."""


class CloudError(BikeshareError):
    """An account of AWS refused, or a template or a price file is not what it should be."""


class Refused(BikeshareError):  # noqa: N818 - a decision, not a mishap
    """A decision went against what was asked: the gate, a promotion, a rollback."""

    exit_code = 1
