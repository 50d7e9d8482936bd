"""Commands that run a model, from deploy and infer to promote, rollback, retrain and history."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from mlops_bikeshare.cli import screen
from mlops_bikeshare.cli.given import AsJson, CityName, EndpointName, opened


def _aliases(incomplete: str) -> list[str]:
    known = ("champion", "challenger", "previous_champion")
    return [alias for alias in known if alias.startswith(incomplete)]


Alias = Annotated[
    str,
    typer.Option(help="champion, challenger or a version.", autocompletion=_aliases),
]


def deploy(
    city: CityName = None,
    alias: Alias = "challenger",
    endpoint: EndpointName = None,
    initial: Annotated[bool, typer.Option(help="A first production deploy.")] = False,
    json_: AsJson = False,
) -> None:
    """Put a registered version on an endpoint, and verify what is there."""
    from mlops_bikeshare.flows import deploy as flow

    ws, where = opened(city)
    done = flow.deploy(ws, where, version=alias, endpoint=endpoint, initial=initial)
    text = f"{done.endpoint}: version {done.version}, {done.endpoint_config}"
    screen.show(done, text, as_json=json_)


def replay(
    recording: Annotated[Path, typer.Option(help="Folder of a recording.")],
    window_: Annotated[str, typer.Option("--window", help="START..END, UTC, end exclusive.")],
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Live through a window of a recording: polls, batches and judgements on a simulated clock.

    Needs the workspace's endpoint host, and endpoints on it.
    """
    from mlops_bikeshare.domain.windows import Window
    from mlops_bikeshare.flows import replay as flow
    from mlops_bikeshare.sources.recorded import open_recording

    part, feed = Window.parse(window_, key="--window"), open_recording(recording)
    ws, where = opened(city, simulated=True)
    done = flow.replay(ws, where, feed, part, track=screen.track())
    screen.show(done, flow.summary(done), as_json=json_)


def infer(
    city: CityName = None,
    dt: Annotated[str | None, typer.Option(help="Decision time; default: now.")] = None,
    json_: AsJson = False,
) -> None:
    """One batch of predictions on every endpoint of the city.

    A batch that is there already is not made again.
    """
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import infer as flow

    at = parse_time(dt, key="--dt") if dt else None
    ws, where = opened(city)
    batches = flow.infer(ws, where, at=at)
    screen.show(batches, "\n".join(map(flow.summary, batches)), as_json=json_)


def monitor(
    city: CityName = None,
    since: Annotated[
        str | None,
        typer.Option(help="Look for late labels in all windows since then; default: 3 h back."),
    ] = None,
    page: Annotated[bool, typer.Option(help="Draw the drift page now, not at midnight.")] = False,
    json_: AsJson = False,
) -> None:
    """Quality of matured labels and drift, up to now; exit 3 when alarms cannot be looked at.

    Makes up for what an outage left out.
    """
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import monitor as flow

    start = parse_time(since, key="--since") if since else None
    ws, where = opened(city)
    seen = flow.monitor(ws, where, at=ws.now, since=start, page=page)
    screen.show(seen, flow.summary(seen), as_json=json_)
    raise typer.Exit(flow.exit_code(seen))


def gate(
    city: CityName = None,
    endpoint: EndpointName = None,
    region: Annotated[str | None, typer.Option(help="AWS region; default: the settings'.")] = None,
    window: Annotated[
        str | None,
        typer.Option(help="How far to look back, such as 24h; less than the settings ask fails."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(help="For each failing check: what would flip it, and when to look again."),
    ] = False,
    initial: Annotated[bool, typer.Option(help="There is no champion yet.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file, too.")] = None,
    waive: Annotated[
        str | None,
        typer.Option(help="Forgive this check (PSI alone) before judging; goes on record."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is waived.")] = "",
    until: Annotated[str | None, typer.Option(help="When the waiver ends, UTC.")] = None,
    json_: AsJson = False,
) -> None:
    """Judge what an endpoint showed: exit 0 pass, 1 fail, 3 unknown."""
    from mlops_bikeshare.domain.windows import parse_hours, parse_time
    from mlops_bikeshare.flows import gate as flow

    hours = parse_hours(window, key="--window") if window else None
    ws, where = opened(city, {"region": region})
    if waive is not None:
        end = parse_time(until or "", key="--until")
        flow.waive(ws, where, check=waive, reason=reason, until=end, endpoint=endpoint)
    report = flow.judge(ws, where, endpoint=endpoint, hours=hours, initial=initial)
    if junit is not None:
        junit.write_text(flow.junit(report), encoding="utf-8")
    screen.show(report, flow.summary(report, explained=explain), as_json=json_)
    sys.stdout.flush()  # whoever waits for the verdict does not wait for pictures of the day
    flow.log_run(ws, where, report)
    raise typer.Exit({"pass": 0, "fail": 1, "unknown": 3}[report.verdict])


def promote(
    city: CityName = None,
    canary: Annotated[
        bool, typer.Option("--canary", help="10 %, 50 %, 100 %; goes on at each call.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
    version: Annotated[
        str | None,
        typer.Option(envvar="BIKESHARE_EXPECT_VERSION", help="Refuse to move any other."),
    ] = None,
    staging_endpoint: Annotated[
        str | None,
        typer.Option(envvar="BIKESHARE_EXPECT_STAGING", help="Refuse if it is another."),
    ] = None,
    prod_endpoint: Annotated[
        str | None, typer.Option(envvar="BIKESHARE_EXPECT_PROD", help="Refuse if it is another.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Move the gated challenger to production; resumes where it was interrupted."""
    from mlops_bikeshare.flows import promote as flow
    from mlops_bikeshare.flows.releasing import expected, planned

    approved = expected.Expected(version=version, staging=staging_endpoint, prod=prod_endpoint)
    ws, where = opened(city)
    if dry_run:
        expected.check(ws, where, approved)
        steps = planned.promotion(ws, where, canary=canary)
        screen.show(steps, planned.summary(steps), as_json=json_)
        return
    move = flow.canary if canary else flow.promote
    done = move(ws, where, approved=approved)
    screen.show(done, flow.summary(ws, done), as_json=json_)


def rollback(
    city: CityName = None,
    to: Annotated[
        str | None,
        typer.Option(envvar="BIKESHARE_ROLLBACK_TO", help="Version; default: the champion before."),
    ] = None,
    reason: Annotated[
        str, typer.Option(envvar="BIKESHARE_ROLLBACK_REASON", help="Kept in the audit.")
    ] = "asked for by hand",
    json_: AsJson = False,
) -> None:
    """Put the previous champion, or an earlier version, back on production.

    A canary that has not landed is taken back.
    """
    from mlops_bikeshare.flows import promote as flow

    ws, where = opened(city)
    done = flow.rollback(ws, where, reason=reason, to=to)
    text = f"{done.endpoint}: version {done.from_version} → {done.to_version}"
    screen.show(done, text, as_json=json_)


def watch(
    city: CityName = None,
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look again every monitor_min for so long; exit 1 if taken back, or if a canary "
            "has not landed.",
        ),
    ] = None,
    json_: AsJson = False,
) -> None:
    """After a batch: take a canary further, roll back on a trigger, say which alarms fire.

    Exit 1 when a trigger found nothing to roll back to.
    """
    from mlops_bikeshare.flows import watch as flow

    ws, where = opened(city)
    if minutes is not None:
        last = flow.keep(
            ws,
            where,
            minutes=minutes,
            pause=time.sleep,
            told=lambda found: screen.show(found, flow.summary(found), as_json=json_),
        )
        raise typer.Exit(1 if flow.taken_back(last) or flow.unfinished(last) else 0)
    seen = flow.watch(ws, where)
    screen.show(seen, flow.summary(seen), as_json=json_)
    raise typer.Exit(1 if seen.stuck else 0)


def retrain(
    city: CityName = None,
    check: Annotated[bool, typer.Option("--check", help="Explain, and do nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Though nothing asks for it.")] = False,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Today's champion sets frozen days and floor anew.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Retrain if the champion calls for it, judge the candidate twice, stage it if it is better.

    Exit 1 when the candidate is rejected: it lost what the service once knew.
    """
    from mlops_bikeshare.flows import retrain as flow

    ws, where = opened(city)
    done = flow.retrain(ws, where, check=check, force=force, freeze=freeze, track=screen.track())
    screen.show(done, flow.summary(done), as_json=json_)
    raise typer.Exit(1 if done.verdict == "REJECT" else 0)


def history(
    city: CityName = None,
    at: Annotated[str | None, typer.Option(help="UTC time; default: all of it.")] = None,
    json_: AsJson = False,
) -> None:
    """What was in production when, as the audit tells it."""
    from mlops_bikeshare.domain.windows import parse_time
    from mlops_bikeshare.flows import production as flow

    when = parse_time(at, key="--at") if at else None
    ws, where = opened(city)
    told = flow.tell(ws, where, at=when)
    screen.show(told, flow.summary(told), as_json=json_)


def staging_stop(city: CityName = None, json_: AsJson = False) -> None:
    """Stop staging until somebody starts it, or deploys to it."""
    from mlops_bikeshare.flows import production as flow

    ws, where = opened(city)
    done = flow.stop_staging(ws, where)
    screen.show(done, f"{done.endpoint} is stopped; start or deploy makes it again", as_json=json_)


def staging_start(city: CityName = None, json_: AsJson = False) -> None:
    """Start staging as it was when it was stopped."""
    from mlops_bikeshare.flows import production as flow

    ws, where = opened(city)
    done = flow.start_staging(ws, where)
    screen.show(done, f"{done.endpoint} runs", as_json=json_)


def staging_downsize(
    instance_type: Annotated[str, typer.Option(help="The smaller machine.")] = "ml.t2.medium",
    city: CityName = None,
    json_: AsJson = False,
) -> None:
    """Move staging to a smaller machine until the next deploy."""
    from mlops_bikeshare.flows import production as flow

    ws, where = opened(city)
    done = flow.resize_staging(ws, where, instance_type=instance_type)
    screen.show(done, f"{done.endpoint} runs on {done.instance_type}", as_json=json_)
