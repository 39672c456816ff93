"""The checks of `celeriac doctor`: credentials, stacks, queues, consumers, tables, outbox, alarms and quotas."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from celeriac.aws import client as clients
from celeriac.aws import sqs
from celeriac.declare import registry
from celeriac.model import declared, names, project, settings
from celeriac.model.queue import Queue
from celeriac.model.stages import LOCAL
from celeriac.relay import unpublished
from celeriac_console.application.loading import load
from celeriac_console.doctor.concurrency import concurrency
from celeriac_console.doctor.finding import Finding, failed
from celeriac_console.doctor.orphans import orphans, retired
from celeriac_console.doctor.quotas import quotas
from celeriac_console.doctor.restored import restored
from celeriac_console.doctor.stacks import stacks
from celeriac_console.doctor.timeouts import timeouts
from celeriac_console.stage import services
from celeriac_console.stage.clients import client
from celeriac_console.stage.consumers import mapping_of, state_of
from celeriac_console.terminal.errors import UserError
from celeriac_console.terminal.next_steps import command, deploy_it


def check(*, after_restore: bool = False) -> list[Finding]:
    """The findings of all checks.

    after_restore: also look for what a restored table has lost.
    """
    findings = list(_findings("credentials", _credentials))
    if findings[-1].cure is not None:
        return findings  # without credentials no other check can work
    findings += _findings("stacks", stacks)
    try:
        load()
    except UserError as mistake:
        # Without the tasks the declared queues and tables aren't known, so they can't be checked.
        return [*findings, Finding("tasks", "", f"{mistake}", "correct the error, then check: celeriac tasks")]
    looks = {
        "queues": _queues,
        "timeouts": timeouts,
        "retired queues": retired,
        "tables": _tables,
        "outbox": _outbox,
        **({"restored tables": restored} if after_restore else {}),
        "alarms": _alarms,
        "concurrency": concurrency,
        "orphans": orphans,
        "quotas": quotas,
    }
    for what, look in looks.items():
        findings += _findings(what, look)
    return findings


def _findings(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one check. A check that fails is a finding too, and the other checks still run."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - any error of AWS is a finding
        yield failed(what, error)


def _credentials() -> Iterator[Finding]:
    identity = client("sts").get_caller_identity()
    region = client("sts").meta.region_name
    yield Finding("credentials", "", f"{identity['Arn']}, region {region}, stage {settings.stage()}")


def _queues() -> Iterator[Finding]:
    stage = project.read(Path.cwd()).stage(settings.stage())
    for declared_queue in registry.queues().values():
        queue = stage.applied(declared_queue, settings.FILE)
        try:
            drift = _drift(queue, sqs.url(queue.physical_name(settings.stage())))
        except sqs.NoSuchQueueError:
            yield Finding("queue", queue.name, "not deployed", deploy_it())
            continue
        yield Finding("queue", queue.name, ", ".join(drift) or "as declared", deploy_it() if drift else None)
        yield _consumer(queue)


def _drift(queue: Queue, url: str) -> list[str]:
    answer = clients.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    found: dict[str, str] = {str(name): value for name, value in answer.items()}
    redrive = json.loads(found.get("RedrivePolicy", "{}"))
    declared = {
        "VisibilityTimeout": (int(queue.visibility.total_seconds()), int(found["VisibilityTimeout"])),
        "MessageRetentionPeriod": (int(queue.retention.total_seconds()), int(found["MessageRetentionPeriod"])),
        "maxReceiveCount": (queue.receive_limit, int(redrive.get("maxReceiveCount", 0))),
    }
    dead = clients.client("sqs").get_queue_attributes(
        QueueUrl=sqs.url(queue.dead_letter_name(settings.stage())), AttributeNames=["MessageRetentionPeriod"]
    )["Attributes"]
    kept = int(dead["MessageRetentionPeriod"])
    declared["retention of dead letters"] = (int(queue.dead_letter_retention.total_seconds()), kept)
    return [f"{name} is {there}, declared {wanted}" for name, (wanted, there) in declared.items() if wanted != there]


def _consumer(queue: Queue) -> Finding:
    if queue.is_on_fargate:
        return _service(queue)
    mapping = mapping_of(queue)
    if mapping is None:
        return Finding("consumer", queue.name, "none", deploy_it())
    if state_of(mapping) != "on":
        state = mapping.get("State", "unknown").lower()
        return Finding("consumer", queue.name, state, command("resume", queue.name))
    concurrency = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
    found = (concurrency, mapping.get("BatchSize"), mapping.get("MaximumBatchingWindowInSeconds") or 0)
    drift = found != (queue.max_concurrency, queue.batch, int(queue.batch_window.total_seconds()))
    return Finding("consumer", queue.name, "on, not as declared" if drift else "on", deploy_it() if drift else None)


def _service(queue: Queue) -> Finding:
    if settings.stage() == LOCAL:
        return Finding("consumer", queue.name, "a process of the local cloud")
    found = services.find(queue)
    if found is None:
        return Finding("consumer", queue.name, "none", deploy_it())
    if found.is_held:
        what = "paused" if found.is_paused else f"held at {found.wanted} containers"
        return Finding("consumer", queue.name, what, command("resume", queue.name))
    if found.has_failed or (found.wanted and not found.running):
        what = f"{found.running} of {found.wanted} containers run. ECS says: {found.said or 'nothing'}"
        return Finding(
            "consumer", queue.name, what, "wait two minutes; if it stays so, mend what ECS says, and deploy it again"
        )
    if (found.fewest, found.most) != queue.workers:
        return Finding("consumer", queue.name, "on, not as declared", deploy_it())
    return Finding("consumer", queue.name, "on")


def _tables() -> Iterator[Finding]:
    dynamodb, stage = clients.client("dynamodb"), settings.stage()
    wanted = [names.idempotency_table(stage), names.outbox_table(stage), names.flow_table(stage)]
    for name in wanted + [table.physical_name(stage) for table in declared.tables().values()]:
        try:
            status = dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]
        except dynamodb.exceptions.ResourceNotFoundException:
            yield Finding("table", name, "not deployed", deploy_it())
            continue
        well = status in {"ACTIVE", "UPDATING"}
        yield Finding("table", name, status, None if well else "wait until it is active")


def _outbox() -> Iterator[Finding]:
    try:
        oldest, parked = unpublished.lag()
    except clients.client("dynamodb").exceptions.ResourceNotFoundException:
        yield Finding("outbox", "", "not deployed", deploy_it())
        return
    yield Finding("outbox", "", f"{parked} parked", f"{command('outbox', 'lag')} shows why" if parked else None)
    if oldest is not None:
        yield Finding("outbox", "", f"the oldest unpublished row is from {oldest:%Y-%m-%d %H:%M:%S}Z")


def _alarms() -> Iterator[Finding]:
    start = names.start(settings.stage())
    pages = client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=start, StateValue="ALARM")
    ringing = [alarm for page in pages for alarm in page["MetricAlarms"]]
    for alarm in ringing:
        description = alarm.get("AlarmDescription") or "docs/runbook.md tells what it means"
        yield Finding("alarm", alarm["AlarmName"], "ringing", description)
    if not ringing:
        yield Finding("alarms", "", "none is ringing")
