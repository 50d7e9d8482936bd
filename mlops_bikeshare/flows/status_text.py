"""Status as one screen of text."""

from datetime import datetime, timedelta

from mlops_bikeshare.flows.process.feed_health import FeedHealth
from mlops_bikeshare.flows.status import Judged, Newest, Registered, Served, Status


def summary(seen: Status) -> str:
    """One screen for a person."""
    why = f" ({seen.why})" if seen.why else "" if seen.exists else " (none yet)"
    clock = f"{seen.clock}, {_time(seen.now)}" if seen.exists else "none yet"
    rows = [("workspace", [seen.workspace + why]), ("clock", [clock]), ("city", [seen.city])]
    rows.append(("tables", [_newest_text(item) for item in seen.tables]))
    rows.append(("last batch", [_newest_text(item) for item in seen.batches]))
    if seen.feed:
        rows.append(("feed", [_feed_text(seen.feed)]))
    rows.append(("host", [seen.host or "not running"]))
    rows.append(("endpoints", _served(seen)))
    rows.append(("models", [_model_text(*item) for item in seen.models.items()]))
    rows.append(("last gate", [_judged_text(seen.gate)] if seen.gate else []))
    rows.append(("type next", [seen.next]))
    return "\n".join(
        f"{name if first else '':<12}{line}"
        for name, lines in rows
        for first, line in ((i == 0, line) for i, line in enumerate(lines or ["none yet"]))
    )


def _feed_text(feed: FeedHealth) -> str:
    age = "of unknown age" if feed.age_s is None else f"{feed.age_s:.0f} s old when read"
    failed = f"{feed.poll_failures_24h:,} polls failed"
    return f"document {age}; 24 h: {failed}, {feed.quarantined_rows_24h:,} rows put aside"


def _served(seen: Status) -> list[str]:
    if seen.exists and seen.host is None:
        return ["not known while the host is not running"]
    return [_served_text(item) for item in seen.endpoints]


def _newest_text(item: Newest) -> str:
    if item.at is None or item.age_s is None:
        return f"{item.name:<26}none yet"
    return f"{item.name:<26}{_time(item.at)}   {_age(item.age_s)}"


def _served_text(item: Served) -> str:
    what = f"version {item.version or 'unknown'} ({(item.artefact_digest or 'unknown')[:12]})"
    return f"{item.endpoint:<26}{what}, {item.status}"


def _model_text(alias: str, version: Registered | None) -> str:
    what = f"version {version.version} ({version.artefact_digest[:12]})" if version else "none yet"
    return f"{alias:<26}{what}"


def _judged_text(judged: Judged) -> str:
    against = f", because of {', '.join(judged.failed)}" if judged.failed else ""
    when = f"{_time(judged.judged_at)}   {_age(judged.age_s)}"
    what = f"{judged.verdict} for version {judged.model_version} on {judged.endpoint}"
    return f"{what}, {when}{against}"


def _time(at: datetime | None) -> str:
    return "unknown" if at is None else f"{at:%F %H:%M} UTC"


def _age(seconds: int) -> str:
    if seconds < 0:
        return f"{timedelta(seconds=-seconds)} ahead of the clock"
    steps = ((86_400, "days"), (3600, "h"), (60, "min"))
    size, unit = next(((n, u) for n, u in steps if seconds >= 2 * n), (1, "s"))
    return f"{seconds // size} {unit} old"
