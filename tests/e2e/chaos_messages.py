"""The messages that `make chaos` sends, and how each must end. Pure data."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

QUEUES = ("emails", "orders", "payments", "webhooks")
CRASHING_TASK = {queue: f"crash_{queue}" for queue in QUEUES}
# Most charges succeed. The last three digits tell the provider how to behave: local/celeriac_local/provider/charges.py.
AMOUNTS = (25_00,) * 80 + (34_02,) * 5 + (34_29,) * 7 + (35_03,) * 6 + (35_04,) * 2
HOOKS = ("ok",) * 80 + ("flaky",) * 9 + ("busy",) * 8 + ("gone",) * 3
DECLINED = 402


@dataclass(frozen=True, slots=True)
class ExpectedTask:
    """A task, and how it must end. Its name is somewhere in its message."""

    queue: str
    task: str
    name: str
    key: str = ""
    """The value in its idempotency key. Empty if the message is malformed or keeps no record."""
    reason: str = ""
    """The reason for which it must be a dead letter. Empty if it must succeed."""


@dataclass(frozen=True, slots=True)
class ChaosMessage:
    """A message to send, with its task and the tasks that follow, and how each must end."""

    queue: str
    body: str
    tasks: tuple[ExpectedTask, ...]
    charge: str = ""
    """The order that the provider must charge."""


def messages(count: int, provider_url: str) -> Iterator[ChaosMessage]:
    """This many messages in random order: one in a hundred kills its worker, one in a hundred can't be read."""
    for number in random.sample(range(count), count):
        name = f"chaos-{number:06}"
        queue = random.choices(QUEUES, (30, 20, 25, 25))[0]
        if number % 100 == 0:
            key = str(uuid4())
            task = ExpectedTask(queue, CRASHING_TASK[queue], name, key, "worker lost")
            yield ChaosMessage(queue, _body(CRASHING_TASK[queue], key, {"name": name}), (task,))
        elif number % 100 == 1:
            yield _malformed(queue, name)
        else:
            yield _usual(queue, name, number, provider_url)


def _malformed(queue: str, name: str) -> ChaosMessage:
    # Half of these bodies aren't even JSON.
    own, args = {
        "emails": ("send_welcome_email", {"user_id": "seven", "email": name}),
        "orders": ("place_order", {"order_id": name, "email": "", "amount_cents": "seven"}),
        "payments": ("process_payment", {"payment_id": name, "order_id": name, "amount_cents": "seven"}),
        "webhooks": ("deliver_webhook", {"url": name, "event": "chaos", "data": "seven"}),
    }[queue]
    task = random.choice(("", own))
    body = _body(task, str(uuid4()), args) if task else f"no JSON {name}"
    return ChaosMessage(queue, body, (ExpectedTask(queue, task, name, reason="malformed"),))


def _usual(queue: str, name: str, number: int, provider_url: str) -> ChaosMessage:
    email, cents = f"{name}@example.org", random.choice(AMOUNTS)
    declined = cents % 1000 == DECLINED
    refused = "rejected" if declined else ""
    charge = "" if declined else name
    match queue:
        case "emails":
            task = ExpectedTask(queue, "send_welcome_email", name, str(number))
            return ChaosMessage(queue, _body(task.task, str(uuid4()), {"user_id": number, "email": email}), (task,))
        case "orders":
            body = _body("place_order", str(uuid4()), {"order_id": name, "email": email, "amount_cents": cents})
            tasks = (
                ExpectedTask(queue, "place_order", name, name),
                ExpectedTask("emails", "send_order_confirmation", name, name),
                ExpectedTask("payments", "process_payment", name, f"payment-{name}", refused),
            )
            return ChaosMessage(queue, body, tasks, charge)
        case "payments":
            args = {"payment_id": f"direct-{name}", "order_id": name, "amount_cents": cents}
            task = ExpectedTask(queue, "process_payment", name, f"direct-{name}", refused)
            return ChaosMessage(queue, _body(task.task, str(uuid4()), args), (task,), charge)
        case _:
            hook = random.choice(HOOKS)
            args = {"url": f"{provider_url}/hooks/{hook}", "event": "chaos", "data": {"name": name}}
            task = ExpectedTask(queue, "deliver_webhook", name, reason="rejected" if hook == "gone" else "")
            return ChaosMessage(queue, _body(task.task, str(uuid4()), args), (task,))


def _body(task: str, own_id: str, args: dict[str, Any]) -> str:
    return json.dumps({"id": own_id, "task": task, "args": args})
