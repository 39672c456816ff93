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
    assert (row.pk, row.message, row.queue) == (row.sk, '{"task": "pay"}', "payments")


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
