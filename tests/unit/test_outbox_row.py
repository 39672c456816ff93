"""Rows of the outbox: which kind a row is, and how large."""

import json

import pytest

from celeriac.enqueue.outbox_row import EventRow, MalformedRowError, TaskRow, new_row, read, read_all


def test_a_row_with_data_is_an_event() -> None:
    row = read(new_row("order.created", "o-1", data=json.dumps({"total": 5})))
    assert isinstance(row, EventRow)
    assert (row.pk, row.type, row.data) == ("o-1", "order.created", {"total": 5})


def test_a_row_with_a_message_is_a_task() -> None:
    row = read(new_row("task:pay", None, message='{"task": "pay"}', queue="payments"))
    assert isinstance(row, TaskRow)
    assert (row.pk, row.message, row.queue) == (f"celeriac#task#payments#{row.sk}", '{"task": "pay"}', "payments")
    assert row.is_alone
    in_order = read(new_row("task:pay", "o-1", message='{"task": "pay"}', queue="payments"))
    assert (in_order.pk, in_order.is_alone) == ("celeriac#task#payments#o-1", False)


@pytest.mark.parametrize("pk", ["o-1", "celeriac#task#emails#o-1", "celeriac#task#payments"])
def test_a_task_under_a_key_of_another_queue_is_malformed(pk: str) -> None:
    """Whoever may only emit events, or enqueue tasks of another queue, can write such a row."""
    image = new_row("task:pay", "o-1", message='{"task": "pay"}', queue="payments") | {"pk": {"S": pk}}
    with pytest.raises(MalformedRowError, match="ValueError"):
        read(image)


def test_an_event_under_a_key_of_a_task_is_malformed() -> None:
    with pytest.raises(MalformedRowError, match="ValueError"):
        read(new_row("order.created", "celeriac#task#payments#o-1", data="{}"))


def test_its_size_is_in_bytes() -> None:
    data = json.dumps({"name": "Łódź €"}, ensure_ascii=False)
    assert read(new_row("e", None, data=data)).bytes == len(data.encode()) > len(data)


def test_a_malformed_row_keeps_its_keys() -> None:
    image = new_row("e", "a", data="[]")
    with pytest.raises(MalformedRowError, match="not a row of an event or a task: TypeError") as caught:
        read(image)
    assert (caught.value.row.pk, caught.value.row.sk) == ("a", image["sk"]["S"])
    rows, malformed = read_all([image, new_row("e", "b", data="{}")])
    assert [row.pk for row in rows] == ["b"]
    assert [row.pk for row, _ in malformed] == ["a"]
