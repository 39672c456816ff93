"""`enqueue_many` on a FIFO queue: a group's messages are sent in order, whatever SQS refuses and however slowly."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from celeriac import Queue, task
from celeriac.declare.task import PartialFailureError
from celeriac.enqueue.send import HELD_BACK, Parcel, send_many
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call

ledger = Queue("ordered-ledger", fifo=True, batch_size=10)
plain = Queue("ordered-plain", batch_size=10)
booked: list[int] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    booked.clear()


@task(ledger)
def book(number: int) -> None:
    booked.append(number)


@task(plain)
def note(number: int) -> None: ...


def _numbers(count: int) -> list[dict[str, int]]:
    return [{"number": i} for i in range(count)]


def _sending(entries: Any) -> list[str]:
    return [entry["MessageBody"] for entry in entries]


def _book(sandbox: Sandbox, count: int, hook: Callable[[Call], Any]) -> PartialFailureError | None:
    with sandbox.worker(), sandbox.fault(hook):
        try:
            book.options(group="g").enqueue_many(_numbers(count))
        except PartialFailureError as error:
            return error
    return None


def test_calls_of_any_slowness_keep_the_order_of_a_group(sandbox: Sandbox) -> None:
    made: list[int] = []

    def slower_at_first(call: Call) -> Any:
        made.append(1)
        threading.Event().wait(0.1 / len(made))  # real time: a later call would overtake an earlier one
        return call.make()

    assert _book(sandbox, 25, slower_at_first) is None
    sandbox.drain()
    assert booked == list(range(25))


@pytest.mark.parametrize("refused", [0, 3, 11, 24])
def test_nothing_is_sent_behind_a_refused_message_of_its_group(sandbox: Sandbox, refused: int) -> None:
    def refuse(call: Call) -> Any:
        """SQS takes what stands before and behind the entry in its call."""
        entries = call.arguments["Entries"]
        taken = [entry for entry in entries if f'"number":{refused}}}' not in entry["MessageBody"]]
        answer = call.carry_out({**call.arguments, "Entries": taken}) if taken else {"Successful": []}
        failed = [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in entries]
        return {**answer, "Failed": [one for one in failed if one["Id"] not in {entry["Id"] for entry in taken}]}

    error = _book(sandbox, 25, refuse)
    assert error is not None
    assert [item["number"] for item, _ in error.unsent] == list(range(refused, 25))
    assert [why for _, why in error.unsent] == ["InternalError: "] + [HELD_BACK] * (24 - refused)
    assert len(error.sent) == refused
    sandbox.drain()
    assert booked == list(range(refused))

    # What was not sent is in order too, so sending it again keeps the order of the whole.
    book.options(group="g").enqueue_many([item for item, _ in error.unsent])
    sandbox.drain()
    assert booked == list(range(25))


@pytest.mark.parametrize("is_carried_out", [True, False])
def test_a_call_that_times_out_holds_back_the_rest_of_its_group(sandbox: Sandbox, *, is_carried_out: bool) -> None:
    def time_out(call: Call) -> Any:
        if '"number":7}' not in call.arguments["Entries"][0]["MessageBody"]:
            return call.make()
        if is_carried_out:
            call.make()
        raise ReadTimeoutError(endpoint_url="https://sqs.example")

    error = _book(sandbox, 12, time_out)
    assert error is not None
    assert [item["number"] for item, _ in error.unsent] == [7, 8, 9, 10, 11]
    sandbox.drain()
    assert booked == list(range(7 + is_carried_out))


def test_other_groups_and_queues_go_on(sandbox: Sandbox) -> None:
    parcels: list[Parcel] = []
    for number in range(12):
        parcels += [book.options(group=group).parcel(number=number) for group in ("a", "b")]
        parcels.append(note.parcel(number=number))

    def refuse_some_of_a(call: Call) -> Any:
        """One call may hold messages of several groups."""
        first, *_ = entries = call.arguments["Entries"]
        if first.get("MessageGroupId") == "a" and '"number":2}' in first["MessageBody"]:
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in entries]}
        return call.make()

    with sandbox.worker(), sandbox.fault(refuse_some_of_a):
        problems = send_many(parcels)
    unsent = [parcel for parcel, why in zip(parcels, problems, strict=True) if why is not None]
    assert {parcel.group for parcel in unsent} == {"a"}
    assert len(unsent) == 10
    sandbox.drain()
    assert sorted(booked) == sorted([0, 1, *range(12)])


def test_a_standard_queue_still_takes_ten_messages_a_call(sandbox: Sandbox) -> None:
    note.enqueue_many(_numbers(25))
    assert sandbox.calls == {("sqs", "SendMessageBatch"): 3}
