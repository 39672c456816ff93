"""A pull request's stage: it comes up on the local cloud, is tried with `celeriac smoke`, and goes without a trace.

    python -m tests.e2e.preview

In between, what a smoke test must find is broken, one at a time: relay, dead-letter queue, schedule, permission. The
commands are those that a person types: celeriac cdk deploy, celeriac smoke, celeriac cdk destroy.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from celeriac.model import names
from tests.support import scratch
from tests.support.scratch import say

PORT = 4741
STAGE = "pr-7"
QUEUE = "payments"


def inside(clone: Path) -> int:
    """Deploy, try, break, try, destroy. Returns the exit code."""
    before = resources()
    say(f"before: {len(before)} resources")
    if not _run(clone, ".venv/bin/celeriac", "cdk", "deploy", STAGE, "--require-approval", "never"):
        return 1
    up = resources() - before
    say(f"the stage {STAGE} is up: {len(up)} more resources")
    facts = {"alarms, dashboards and topics": (sum(kind in {"alarm", "dashboard", "topic"} for kind, _ in up), 0)}
    facts |= {f"a whole stage: {way}": (len(found), 0) for way, found in [("broken ways", _smoke(clone))]}
    for way, plant in _PLANTS.items():
        with plant():
            found = _smoke(clone, QUEUE)
        say(f"with a broken {way}: {sorted(found) or 'nothing'} found")
        facts[f"a broken {way}: {_EXPECTED[way]} alone is found"] = (int(found == {_EXPECTED[way]}), 1)
    facts["mended: broken ways"] = (len(_smoke(clone, QUEUE)), 0)
    if not _run(clone, ".venv/bin/celeriac", "cdk", "destroy", STAGE, "--force"):
        return 1
    left = resources() - before
    for kind, name in sorted(left):
        say(f"left: {kind} {name}")
    return scratch.verdict(facts | {"resources that are left": (len(left), 0)})


def _run(clone: Path, *command: str) -> bool:
    say(f"$ {' '.join(command)}")
    started = time.monotonic()
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines()[-3:] if done.returncode == 0 else [done.stdout, done.stderr]:
        say(f"    {line}")
    say(f"    ({time.monotonic() - started:.0f} s, exit code {done.returncode})")
    return done.returncode == 0


def _smoke(clone: Path, *queues: str) -> set[str]:
    """The ways that `celeriac smoke` finds broken."""
    command = [str(clone / ".venv/bin/celeriac"), "--stage", STAGE, "smoke", "--json", *queues]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    results = json.loads(done.stdout)
    broken = {each["step"] for each in results if each["problem"] is not None}
    if (done.returncode != 0) is not bool(broken):
        raise RuntimeError(f"exit code {done.returncode} and {broken}: {done.stderr}")
    slowest = {step: max(each["seconds"] for each in results if each["step"] == step) for step in _STEPS}
    say("    " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in slowest.items()))
    for each in results:
        if each["problem"] is not None:
            say(f"    WRONG {each['queue']}, {each['step']}: {each['problem']}")
    return broken


_STEPS = ("queue", "dead letter", "schedule", "outbox")


@contextmanager
def _stopped_relay() -> Iterator[None]:
    """The relay's mapping is off, as after somebody's mistake."""
    lambda_ = boto3.client("lambda")
    relay = names.relay_function(STAGE)
    (mapping,) = lambda_.list_event_source_mappings(FunctionName=relay)["EventSourceMappings"]
    lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        lambda_.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
        time.sleep(5)


@contextmanager
def _lost_dead_letter_queue() -> Iterator[None]:
    sqs = boto3.client("sqs")
    name = names.part(STAGE, f"{QUEUE}-dlq")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    sqs.delete_queue(QueueUrl=url)
    try:
        yield
    finally:
        kept = {key: attributes[key] for key in ("MessageRetentionPeriod", "VisibilityTimeout") if key in attributes}
        sqs.create_queue(QueueName=name, Attributes=kept)  # type: ignore[arg-type]  # plain texts


@contextmanager
def _lost_schedule_group() -> Iterator[None]:
    scheduler = boto3.client("scheduler")
    group = names.schedule_group(STAGE)
    scheduler.delete_schedule_group(Name=group)
    try:
        yield
    finally:
        scheduler.create_schedule_group(Name=group)


@contextmanager
def _lost_right() -> Iterator[None]:
    """The consumer may no longer write to the outbox."""
    iam = boto3.client("iam")
    function = boto3.client("lambda").get_function(FunctionName=names.part(STAGE, QUEUE))
    role = function["Configuration"]["Role"].rpartition("/")[2]
    before: dict[str, Any] = {}
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        before[policy] = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    for policy, document in before.items():
        statements = [each for each in document["Statement"] if "--outbox" not in json.dumps(each["Resource"])]
        iam.put_role_policy(
            RoleName=role, PolicyName=policy, PolicyDocument=json.dumps({**document, "Statement": statements})
        )
    try:
        yield
    finally:
        for policy, document in before.items():
            iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


_PLANTS: dict[str, Callable[[], Any]] = {
    "relay": _stopped_relay,
    "dead-letter queue": _lost_dead_letter_queue,
    "schedule": _lost_schedule_group,
    "permission": _lost_right,
}
_EXPECTED = {
    "relay": "outbox",
    "dead-letter queue": "dead letter",
    "schedule": "schedule",
    "permission": "outbox",
}


def resources() -> set[tuple[str, str]]:
    """Everything in the account, by kind and name; without what the CDK's bootstrap and its assets are."""
    found: set[tuple[str, str]] = set()
    for kind, service, operation, key, name in _LISTS:
        client = boto3.client(service)  # type: ignore[call-overload]  # any service
        pages: Sequence[Any] = (
            list(client.get_paginator(operation).paginate())
            if client.can_paginate(operation)
            else [getattr(client, operation)()]
        )
        for each in (each for page in pages for each in page.get(key, [])):
            found.add((kind, each[name] if name else str(each)))
    active = boto3.client("cloudformation").describe_stacks()["Stacks"]
    return found | {("stack", stack["StackName"]) for stack in active}


_LISTS = (
    ("queue", "sqs", "list_queues", "QueueUrls", ""),
    ("table", "dynamodb", "list_tables", "TableNames", ""),
    ("function", "lambda", "list_functions", "Functions", "FunctionName"),
    ("mapping", "lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    ("schedule group", "scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
    ("schedule", "scheduler", "list_schedules", "Schedules", "Name"),
    ("bucket", "s3", "list_buckets", "Buckets", "Name"),
    ("role", "iam", "list_roles", "Roles", "RoleName"),
    ("policy", "iam", "list_policies", "Policies", "PolicyName"),
    ("topic", "sns", "list_topics", "Topics", "TopicArn"),
    ("alarm", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("dashboard", "cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("log", "logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("secret", "secretsmanager", "list_secrets", "SecretList", "Name"),
    ("bus", "events", "list_event_buses", "EventBuses", "Name"),
    ("rule", "events", "list_rules", "Rules", "Name"),
)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="A pull request's stage comes up, is tried, and goes.")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        return inside(chosen.inside)
    os.environ.pop("CELERIAC_APPLICATION", None)
    return scratch.run_inside("tests.e2e.preview", [], port=PORT, added={}, edits={})


if __name__ == "__main__":
    sys.exit(main())
