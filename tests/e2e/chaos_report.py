"""The results of `make chaos`, read from records, dead letters, tables and partners, and compared with the expected
ones.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import urllib3

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac.declare import registry
from celeriac.leases.states import COMPLETED
from celeriac.leases.store import store
from celeriac.model import names
from celeriac_console.dlq.queue_reader import read
from tests.e2e.chaos_messages import CRASHING_TASK, QUEUES, ChaosMessage, ExpectedTask
from tests.support import scratch
from tests.support.scratch import say

NAME = re.compile(r"chaos-\d{6}")
MOST_LETTERS = 5000
SHOWN = 10

type Dead = tuple[str, str, str, str]
"""Queue, task, name and reason of a dead letter."""


def report(everything: Sequence[ChaosMessage], provider_url: str, cloud_url: str, *, left: int) -> int:
    """Print the results. Returns the exit code."""
    tasks = [task for one in everything for task in one.tasks]
    wanted: set[Dead] = {(task.queue, task.task, task.name, task.reason) for task in tasks if task.reason}
    letters = [(queue, letter) for queue in QUEUES for letter in read(registry.queues()[queue], MOST_LETTERS)]
    dead = Counter(_dead(queue, letter) for queue, letter in letters)
    # Notes of visits have no status.
    records = {row["id"]["S"]: row["status"]["S"] for row in scratch.rows("idempotency") if "status" in row}
    hooks = _get(f"{provider_url}/hooks")
    accepted = Counter(NAME.findall(hook["body"])[0] for hook in hooks if hook["status"] == 204)
    succeeding = [task for task in tasks if not task.reason]
    succeeded = [task for task in succeeding if _has_succeeded(task, records, accepted)]
    _say_differences(wanted, set(dead), set(succeeding) - set(succeeded), letters)

    orders = {row["pk"]["S"]: int(row["times"]["N"]) for row in scratch.rows("orders") if "times" in row}
    payments = {row["pk"]["S"] for row in scratch.rows("payments")}
    outbox = scratch.rows("outbox")
    charges = Counter(charge["order_id"] for charge in _get(f"{provider_url}/charges"))
    charged = {one.charge for one in everything if one.charge}
    placed = [one for one in everything if one.queue == "orders" and len(one.tasks) > 1]
    mails = Counter(_mails(f"{cloud_url}/_ministack/ses/messages"))
    mailing = sum(task.queue == "emails" and not task.reason for task in tasks)
    facts = {
        "tasks that had to succeed and did": (len(succeeded), len(succeeding)),
        **{
            f"dead, {reason}": (sum(each[3] == reason for each in dead), count)
            for reason, count in sorted(Counter(each[3] for each in wanted).items())
        },
        "unexpected dead letters": (len(set(dead) - wanted), 0),
        "orders charged once": (sum(charges[order] == 1 for order in charged), len(charged)),
        "charges in all": (charges.total(), len(charged)),
        "payments committed": (len(payments), len(charged)),
        "of them, committed exactly once": (sum(orders.get(order) == 1 for order in charged), len(charged)),
        "orders committed, each with one event": (len(outbox), len(placed)),
        "of these events, published": (sum("published_at" in row for row in outbox), len(placed)),
        "left in queues, schedules and outbox": (left, 0),
    }
    code = scratch.verdict(facts)
    outcomes = _outcomes()
    lost = _lost_workers()
    say("by the logs, which lack the last lines of killed workers:")
    say(f"  {outcomes['duplicate']} duplicates absorbed, {outcomes['dead_copy']} late copies of dead letters skipped,")
    say(f"  {outcomes['retried']} retries, {outcomes['handed_back']} handed back")
    mine = sum(lost[task] for task in CRASHING_TASK.values())
    say(f"  {lost.total() - mine} takeovers of healthy tasks from dead workers, {mine} of crashing tasks")
    say("effects that are at least once by nature happened again this often:")
    say(f"  {dead.total() - len(dead)} dead letters, {accepted.total() - len(accepted)} webhooks,")
    say(f"  {mails.total() - mailing} e-mails")
    return code


def _dead(queue: str, letter: DeadLetter) -> Dead:
    found = NAME.search(letter.body)
    reason = letter.failure.reason if letter.failure else "moved by SQS"
    return queue, letter.task, found[0] if found else letter.id, reason


def _has_succeeded(task: ExpectedTask, records: dict[str, str], accepted: Counter[str]) -> bool:
    if not task.key:
        return accepted[task.name] > 0
    retention = registry.queues()[task.queue].record_retention
    records_of_task = store(task.task, names.idempotency_table("local"), retention)
    return records.get(records_of_task.record_id(f"{task.task}:{task.key}")) == COMPLETED


def _say_differences(
    wanted: set[Dead], found: set[Dead], undone: Iterable[ExpectedTask], letters: Sequence[tuple[str, DeadLetter]]
) -> None:
    why = {_dead(queue, letter): letter.failure for queue, letter in letters}
    for each in sorted(found - wanted)[:SHOWN]:
        failure = why[each]
        say(
            f"  unexpected dead letter: {' '.join(each)}, {failure.type if failure else ''}: "
            f"{failure.message if failure else ''}"
        )
        if each[3] == "worker lost":
            say("    (three random kills may have hit it while it ran alone; otherwise the consumer has a bug)")
    for each in sorted(wanted - found)[:SHOWN]:
        say(f"  missing dead letter: {' '.join(each)}")
    for task in list(undone)[:SHOWN]:
        say(f"  has not succeeded: {task.queue} {task.task} {task.name}")


def _outcomes() -> Counter[str]:
    return Counter(json.loads(line)["outcome"] for queue in QUEUES for line in scratch.logged(queue, "outcome"))


def _lost_workers() -> Counter[str]:
    lines = [json.loads(line) for queue in QUEUES for line in scratch.logged(queue, "WorkerLost")]
    return Counter(line["task"] for line in lines if "WorkerLost" in line)


def _mails(url: str) -> list[str]:
    accounts = _get(url)["messages"].values()
    return [to for mails in accounts for mail in mails for to in mail["To"]]


def _get(url: str) -> Any:
    return urllib3.request("GET", url, timeout=30).json()
