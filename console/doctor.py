"""`celeriac doctor`: what is wrong with a stage, and what cures it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer
from rich.console import Console

from celeriac import aws, names, registry, settings, sqs, waiting
from celeriac.queue import Queue
from console.clients import client
from console.consumers import mapping_of
from console.mistakes import PROBLEM
from console.options import Json
from console.text import line, printable


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at; `cure` is None where nothing is wrong."""

    what: str
    cure: str | None = None


def doctor(*, json_: Json = False) -> None:
    """Look at credentials, stacks, queues, consumers and outbox; each finding with its cure. Exit code 1 for any.

    Example: celeriac --stage prod doctor
    """
    registry.load()
    findings: list[Finding] = []
    for look in (_credentials, _stacks, _queues, _tables, _outbox, _alarms):
        findings += _looked(look)
        if findings[-1].cure is not None and look is _credentials:
            break  # nothing else can be seen
    if json_:
        typer.echo(json.dumps([{"what": one.what, "ok": one.cure is None, "cure": one.cure} for one in findings]))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for one in findings:
            console.print(f"{'ok   ' if one.cure is None else 'WRONG'} {line(one.what)}", markup=False)
            if one.cure is not None:
                console.print(f"      {printable(one.cure)}", markup=False, style="yellow")
    if any(one.cure is not None for one in findings):
        raise typer.Exit(PROBLEM)


def _looked(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A part that can't be looked at is a finding too, and keeps no other from being looked at."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever AWS says
        code = aws.error_code(error) or type(error).__name__
        yield Finding(f"{look.__name__.strip('_')}: {code}", f"{error}")


def _credentials() -> Iterator[Finding]:
    identity = client("sts").get_caller_identity()
    region = client("sts").meta.region_name
    yield Finding(f"credentials: {identity['Arn']}, region {region}, stage {settings.stage()}")


def _stacks() -> Iterator[Finding]:
    formation = client("cloudformation")
    for part in ("state", "work"):
        name = f"{names.prefix(settings.stage())}-{part}"
        try:
            status = formation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        except formation.exceptions.ClientError as error:
            yield Finding(f"stack {name}: {aws.error_code(error)}", f"deploy it: make deploy STAGE={settings.stage()}")
            continue
        well = status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}
        yield Finding(f"stack {name}: {status}", None if well else "see its events in CloudFormation, and deploy again")


def _queues() -> Iterator[Finding]:
    for queue in registry.queues().values():
        try:
            url = sqs.url(queue.physical_name(settings.stage()))
        except sqs.NoSuchQueue:
            yield Finding(f"queue {queue.name}: not deployed", f"deploy it: make deploy STAGE={settings.stage()}")
            continue
        drift = _drift(queue, url)
        yield Finding(
            f"queue {queue.name}: {', '.join(drift) or 'as declared'}",
            f"deploy again: make deploy STAGE={settings.stage()}" if drift else None,
        )
        yield _consumer(queue)


def _drift(queue: Queue, url: str) -> list[str]:
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    found: dict[str, str] = {str(name): value for name, value in answer.items()}
    redrive = json.loads(found.get("RedrivePolicy", "{}"))
    declared = {
        "VisibilityTimeout": (int(queue.visibility.total_seconds()), int(found["VisibilityTimeout"])),
        "MessageRetentionPeriod": (int(queue.retention.total_seconds()), int(found["MessageRetentionPeriod"])),
        "maxReceiveCount": (queue.receive_limit, int(redrive.get("maxReceiveCount", 0))),
    }
    dead = aws.client("sqs").get_queue_attributes(
        QueueUrl=sqs.url(queue.dead_letter_name(settings.stage())), AttributeNames=["MessageRetentionPeriod"]
    )["Attributes"]
    kept = int(dead["MessageRetentionPeriod"])
    declared["retention of dead letters"] = (int(queue.dead_letter_retention.total_seconds()), kept)
    return [f"{name} is {there}, declared {wanted}" for name, (wanted, there) in declared.items() if wanted != there]


def _consumer(queue: Queue) -> Finding:
    mapping = mapping_of(queue)
    if mapping is None:
        return Finding(f"consumer of {queue.name}: none", f"deploy it: make deploy STAGE={settings.stage()}")
    if mapping.get("State") not in {"Enabled", "Enabling", "Updating"}:
        state = mapping.get("State", "unknown").lower()
        return Finding(f"consumer of {queue.name}: {state}", f"celeriac resume {queue.name}")
    concurrency = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
    found = (concurrency, mapping.get("BatchSize"), mapping.get("MaximumBatchingWindowInSeconds") or 0)
    drift = found != (queue.concurrency_limit, queue.batch_size, int(queue.batch_window.total_seconds()))
    return Finding(
        f"consumer of {queue.name}: on" + (", not as declared" if drift else ""),
        f"deploy again: make deploy STAGE={settings.stage()}" if drift else None,
    )


def _tables() -> Iterator[Finding]:
    dynamodb = aws.client("dynamodb")
    wanted = [names.idempotency_table(settings.stage()), names.outbox_table(settings.stage())]
    for name in wanted + [table.physical_name(settings.stage()) for table in registry.tables().values()]:
        try:
            status = dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]
        except dynamodb.exceptions.ResourceNotFoundException:
            yield Finding(f"table {name}: missing", f"deploy it: make deploy STAGE={settings.stage()}")
            continue
        yield Finding(
            f"table {name}: {status}", None if status in {"ACTIVE", "UPDATING"} else "wait until it is active"
        )


def _outbox() -> Iterator[Finding]:
    oldest, parked = waiting.lag()
    yield Finding(f"outbox: {parked} parked", "celeriac outbox lag shows why" if parked else None)
    if oldest is not None:
        yield Finding(f"outbox: the oldest unpublished event is of {oldest:%Y-%m-%d %H:%M:%S}Z")


def _alarms() -> Iterator[Finding]:
    prefix = names.prefix(settings.stage())
    pages = (
        client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{prefix}-", StateValue="ALARM")
    )
    ringing = [alarm for page in pages for alarm in page["MetricAlarms"]]
    for alarm in ringing:
        yield Finding(f"alarm {alarm['AlarmName']}", alarm.get("AlarmDescription", "see its description in CloudWatch"))
    if not ringing:
        yield Finding("alarms: none is ringing")
