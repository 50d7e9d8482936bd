"""A channel of apprise: Slack, Discord, e-mail, a webhook and a hundred others by one address.

Input    an address of apprise, such as `slack://…`, `mailto://…`, `json://host/path`.
Raises   SettingsError for an address that apprise does not understand; it names the scheme alone.
Source   apprise's own documentation of addresses. What it logs may hold parts of an address, so it
         is kept silent here: `send` says what happened.
"""

import hashlib
import logging
from typing import Any

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.monitoring.alarms import Severity
from mlops_bikeshare.monitoring.notify import Message

_TYPES: dict[Severity, str] = {"info": "info", "warn": "warning", "critical": "failure"}
# These two log addresses, apprise at any level and urllib3 while debugging.
_TALKATIVE = {"apprise": logging.CRITICAL + 1, "urllib3.connectionpool": logging.INFO}


class AppriseChannel:
    """One address."""

    def __init__(self, url: str) -> None:
        from apprise import Apprise

        for name, level in _TALKATIVE.items():
            logging.getLogger(name).setLevel(level)
        self.name = scheme(url)
        self.key = f"{self.name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        self._apprise: Any = Apprise()
        if not self._apprise.add(url):
            msg = f"notify.urls: apprise does not understand an address of scheme {self.name!r}"
            raise SettingsError(f"{msg}; see its documentation for how one is written")

    def send(self, message: Message) -> str | None:
        """Whether the service took it."""
        taken = self._apprise.notify(
            body=message.body, title=message.title, notify_type=_TYPES[message.severity]
        )
        return None if taken else "the service did not take it"


def scheme(url: str) -> str:
    """All that may be said of an address."""
    return url.partition("://")[0].lower() if "://" in url else "unknown"
