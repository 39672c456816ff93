"""The matrix itself must notice a broken promise.

Only here and in test_interleave_sabotage.py is Celeriac's own code patched. The matrix is under test, and only a broken
promise can show that it notices one.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.aws import payloads, scheduler, visibility
from celeriac.consume import handler
from celeriac.consume import settle as settling
from celeriac.consume.received import Received
from celeriac.consume.settle import Settled, settle
from celeriac.declare import task as declared_task
from celeriac.enqueue.send import Parcel, send_many
from celeriac.leases import lease
from celeriac.relay import held, sweeper
from celeriac.relay import mark as marking
from celeriac.relay import publish as publishing
from tests.faults import matrix
from tests.faults.plants import PLANTS


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        ("short retry", "fail_once:a is lost"),
        ("reject", "refuse:a is not a dead letter"),
        ("malformed", ":nonsense is not"),
    ],
)
def test_the_matrix_notices_a_message_acknowledged_before_its_successor_is_sent(
    monkeypatch: pytest.MonkeyPatch, path: str, lost: str
) -> None:
    def acknowledge_first(outcome: Any, received: Received) -> Settled:
        visibility.delete(received.sqs_record.queue_name, [received.sqs_record.receipt])
        return settle(outcome, received)

    points = matrix.points(path, "dies before")
    monkeypatch.setattr(handler, "settle", acknowledge_first)
    found = [problem for point in points for problem in matrix.problems_of(path, "dies before", point)]
    assert any(lost in problem for problem in found)


def test_the_matrix_notices_a_lost_retry_of_a_task_that_has_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [p for p in matrix.points("at least once", "dies before") if p.operation == "SendMessage"]
    PLANTS["acknowledges, then sends the retry of a task without a record"].plant(monkeypatch)
    found = [problem for point in points for problem in matrix.problems_of("at least once", "dies before", point)]
    assert any("notify:a is lost" in problem for problem in found)


def test_the_matrix_notices_an_attempt_that_a_death_was_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    points = matrix.points("success", "dies before")
    PLANTS["charges a worker's death as an attempt"].plant(monkeypatch)
    found = [problem for point in points for problem in matrix.problems_of("success", "dies before", point)]
    assert any("succeed:a makes attempt 2, and 0 have failed" in problem for problem in found)


@pytest.mark.parametrize(
    ("path", "sends", "problem"),
    [("at least once", "send", "notify:a ran 5 times"), ("reject", "_send", "refuse:a is 3 dead letters")],
)
def test_the_matrix_notices_more_runs_and_letters_than_one_fault_makes(
    monkeypatch: pytest.MonkeyPatch, path: str, sends: str, problem: str
) -> None:
    once = vars(settling)[sends]

    def twice(*arguments: Any) -> None:
        once(*arguments)
        once(*arguments)

    (point, *_) = (p for p in matrix.points(path, "dies after") if p.operation == "SendMessage")
    monkeypatch.setattr(settling, sends, twice)
    assert any(problem in found for found in matrix.problems_of(path, "dies after", point))


def test_the_matrix_notices_an_event_marked_before_it_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = vars(sweeper)["publish"]

    def mark_first(events: Sequence[Any]) -> Any:
        marking.mark(events, [])
        return publish(events)

    (*_, last) = (p for p in matrix.points("sweeper", "dies before") if p.operation == "SendMessageBatch")
    monkeypatch.setattr(sweeper, "publish", mark_first)
    assert any("is lost" in problem for problem in matrix.problems_of("sweeper", "dies before", last))


def test_the_matrix_notices_a_retry_that_is_taken_for_an_earlier_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    path, fault = "redrive of a long wait", "sent twice"
    (point,) = (p for p in matrix.points(path, fault) if p.operation == "CreateSchedule")
    monkeypatch.setattr(scheduler, "_run", lambda message: [message.turn])
    monkeypatch.setattr(scheduler, "_holder", lambda *_: "ours")
    assert any("depend_late:a is lost" in problem for problem in matrix.problems_of(path, fault, point))


def test_the_matrix_notices_a_payload_that_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    path, fault = "redrive of an old payload", "sent twice"
    point = next(p for p in matrix.points(path, fault) if p.operation == "ReceiveMessage")
    monkeypatch.setattr(payloads, "renewed", lambda _, key, **__: key)
    assert any("depend:a is lost" in problem for problem in matrix.problems_of(path, fault, point))


def test_the_matrix_notices_an_event_that_overtakes_one_that_was_left_to_the_sweeper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = matrix.points("relay in an outage", "sent twice")[-1]
    monkeypatch.setattr(held, "hold", lambda rows, held: set())
    assert any(
        "ran in the order" in problem for problem in matrix.problems_of("relay in an outage", "sent twice", point)
    )


def test_the_matrix_notices_an_event_that_an_older_relay_keeps_from_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    path, fault = "two releases, one with a bus", "sent twice"
    point = matrix.points(path, fault)[0]
    monkeypatch.setattr(publishing, "unknown_subscribers", lambda *_: frozenset())
    assert any("the bus got" in problem for problem in matrix.problems_of(path, fault, point))


def test_the_matrix_notices_an_effect_not_committed_with_its_tasks_success(monkeypatch: pytest.MonkeyPatch) -> None:
    completion = lease.Lease.completion

    def of_another_record(held: lease.Lease, result: object, **how: Any) -> Any:
        update: Any = completion(held, result, **how)["Update"]
        return {
            "Update": {
                "TableName": update["TableName"],
                "Key": {"id": {"S": f"{update['Key']['id']['S']} of no task"}},
                "UpdateExpression": "ADD times :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
        }

    points = [p for p in matrix.points("transaction", "dies after") if p.operation == "TransactWriteItems"]
    monkeypatch.setattr(lease.Lease, "completion", of_another_record)
    assert any("they happened" in problem for problem in matrix.problems_of("transaction", "dies after", points[0]))


def test_the_matrix_notices_a_message_acknowledged_in_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def acknowledge(*_: object) -> Settled:
        return Settled(acknowledged=True)

    # In an outage of SQS, a worker outside of Lambda couldn't acknowledge it either.
    points = [p for p in matrix.points("reject", "outage") if p.operation == "PutItem"]
    monkeypatch.setattr(handler.Batch, "_hand_back", acknowledge)
    assert any("is not a dead letter" in problem for problem in matrix.problems_of("reject", "outage", points[0]))


def test_the_matrix_notices_a_producer_that_is_not_told_of_a_refused_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell_of_success(parcels: Sequence[Parcel]) -> list[str | None]:
        return [None for _ in send_many(parcels)]

    (point, *_) = matrix.points("producer of many", "outage")
    monkeypatch.setattr(declared_task, "send_many", tell_of_success)
    assert any("is lost" in problem for problem in matrix.problems_of("producer of many", "outage", point))
