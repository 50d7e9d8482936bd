"""HTTP to a feed: patient within bounds, polite, and never given more than it can hold.

Input    an address; the validators (ETag, Last-Modified) of the answer before, if any.
Output   `Answer`: the body, or None when the server says that nothing changed (304).
Raises   SourceError, naming the address without its query and what happened.

Each attempt has a time-out per operation and a deadline as a whole, because a server that sends a
byte now and then never runs into the former. Dropped connections, time-outs, 408, 425, 429 and 5xx
are tried again, after a random pause that grows, or after Retry-After; who asks for more than
`_LONGEST_PAUSE_S` is left alone until the next poll. The pauses of a poll and its attempts together
stay far below the five minutes to the next one. Once `stop` is set no attempt begins and no body is
read on: a process ends within seconds.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType
from typing import Self

import httpx
import stamina

from mlops_bikeshare.domain.errors import SourceError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 5.0
_MB = 1_000_000
_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often to try, and how much to take."""

    timeout_s: float = 10.0
    attempts: int = 3
    first_pause_s: float = 0.5
    body_limit_mb: float = 32.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A body and what to send along next time; `body` is None for 304."""

    body: bytes | None
    validators: Mapping[str, str] = field(default_factory=dict)


class FeedClient:
    """GETs documents; one for all feeds of a process, so that connections are kept."""

    def __init__(
        self,
        *,
        contact: str | None = None,
        patience: Patience | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        stop: threading.Event | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._monotonic = monotonic
        self._stop = stop or threading.Event()
        self._http = httpx.Client(
            timeout=self._patience.timeout_s,
            follow_redirects=True,
            headers={
                "User-Agent": user_agent(contact),
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
            },
        )

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def get(self, url: str, validators: Mapping[str, str] | None = None) -> Answer:
        """The document at `url`."""
        patience = self._patience
        try:
            for attempt in stamina.retry_context(
                on=_worth_another,
                attempts=patience.attempts,
                timeout=None,
                wait_initial=patience.first_pause_s,
                wait_jitter=patience.first_pause_s,
                wait_max=_LONGEST_PAUSE_S,
            ):
                with attempt:
                    return self._once(url, validators or {})
        except httpx.HTTPStatusError as error:
            code = error.response.status_code
            raise SourceError(
                f"{_shown(url)}: HTTP {code} {error.response.reason_phrase}"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = " ".join(str(error).split()) or type(error).__name__
            raise SourceError(f"{_shown(url)}: {type(error).__name__}: {what}") from None
        raise AssertionError("stamina returns or raises")

    def _once(self, url: str, validators: Mapping[str, str]) -> Answer:
        deadline = self._monotonic() + 2 * self._patience.timeout_s
        self._check_stop(url)
        with self._http.stream("GET", url, headers=dict(validators)) as response:
            if response.status_code == _NOT_MODIFIED and validators:
                return Answer(body=None, validators=validators)
            response.raise_for_status()
            return Answer(
                body=self._body(url, response, deadline), validators=_validators(response)
            )

    def _body(self, url: str, response: httpx.Response, deadline: float) -> bytes:
        """The decoded body; the limit is on what gzip makes of it, too."""
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._patience.body_limit_mb * _MB:
                limit = f"{self._patience.body_limit_mb:g} MB"
                raise SourceError(
                    f"{_shown(url)}: the body is larger than {limit}; nothing was kept"
                )
            if self._monotonic() > deadline:
                raise httpx.ReadTimeout(
                    f"body not complete after {2 * self._patience.timeout_s:g} s"
                )
            self._check_stop(url)
            parts.append(part)
        return b"".join(parts)

    def _check_stop(self, url: str) -> None:
        """Who was asked to stop tries no further."""
        if self._stop.is_set():
            raise SourceError(f"{_shown(url)}: asked to stop before there was an answer")


def user_agent(contact: str | None) -> str:
    """Who asks, and whom to write to when it troubles the server."""
    return f"mlops_bikeshare/{version('mlops_bikeshare')}" + (f" (+{contact})" if contact else "")


def _worth_another(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code not in RETRIED:
            return False
        asked = error.response.headers.get("Retry-After", "")
        if not (asked.isascii() and asked.isdigit()):
            return True
        pause = float(asked)
        return pause if pause <= _LONGEST_PAUSE_S else False
    return isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.UnsupportedProtocol
    )


def _validators(response: httpx.Response) -> dict[str, str]:
    pairs = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {ask: response.headers[told] for told, ask in pairs if told in response.headers}


def _shown(url: str) -> str:
    """The address without keys that its query, or passwords that its front may carry."""
    bare = url.partition("?")[0]
    scheme, found, rest = bare.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else bare
