"""`enqueue_many(items, progress=...)` takes items as it sends them: more of them than fit into memory."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from celeriac import InvalidArgumentsError, PartialFailureError, Queue, task
from celeriac.declare import chunks
from celeriac.testing import Sandbox
from celeriac.testing.calls import Call

streamed = Queue("streamed", timeout=timedelta(seconds=10), batch_size=10)
in_turn = Queue("streamed-in-turn", timeout=timedelta(seconds=10), fifo=True)
seen: list[int] = []


@task(streamed, delivery="at_least_once")
def note(number: int, text: str = "") -> None:
    seen.append(number)


@task(in_turn, delivery="at_least_once")
def note_in_turn(number: int) -> None:
    seen.append(number)


class Items:
    """Items that remember how many were taken."""

    def __init__(self, count: int, *, wrong: int = -1, text: str = "") -> None:
        self.taken, self._count, self._wrong, self._text = 0, count, wrong, text

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if self.taken == self._count:
            raise StopIteration
        number = self.taken
        self.taken += 1
        return {"number": "wrong" if number == self._wrong else number, "text": self._text}


def _refusing(number: int) -> Callable[[Call], Any]:
    """A fault: the `number`-th batch isn't taken."""
    batches = count(1)

    def refuse(call: Call) -> Any:
        if call.operation == "SendMessageBatch" and next(batches) == number:
            raise ConnectionError
        return call.make()

    return refuse


@pytest.fixture(autouse=True)
def _thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    monkeypatch.setattr(chunks, "MOST_MESSAGES", 20)  # else the tests would take long


def test_items_are_taken_as_they_are_sent(sandbox: Sandbox) -> None:
    items, told = Items(50), list[tuple[int, int]]()
    assert note.enqueue_many(items, progress=lambda handles: told.append((len(handles), items.taken))) == 50
    assert told == [(20, 20), (20, 40), (10, 50)]
    sandbox.drain()
    assert sorted(seen) == list(range(50))


def test_a_chunk_is_limited_by_the_size_of_its_arguments(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST_BYTES", 5000)
    sizes = list[int]()
    note.enqueue_many(Items(12, text="x" * 1000), progress=lambda handles: sizes.append(len(handles)))
    assert sizes == [5, 5, 2]


def test_items_before_a_wrong_one_are_sent_and_none_behind_it_is_taken(sandbox: Sandbox) -> None:
    items, told = Items(50, wrong=30), list[int]()
    with pytest.raises(InvalidArgumentsError, match="number") as error:
        note.enqueue_many(items, progress=lambda handles: told.append(len(handles)))
    assert error.value.__notes__ == ["It is item 30 of enqueue_many, if the first one is item 0."]
    assert (told, items.taken) == ([20, 10], 31)
    assert note.enqueue_many(items, progress=lambda _: None) == 19
    sandbox.drain()
    assert sorted(seen) == [number for number in range(50) if number != 30]


def test_without_progress_no_item_is_sent_if_one_is_wrong(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentsError) as error:
        note.enqueue_many(Items(50, wrong=49))
    assert "item 49" in error.value.__notes__[0]
    sandbox.drain()
    assert not seen


def test_after_a_failure_the_rest_can_be_sent(sandbox: Sandbox) -> None:
    items, told = Items(50), list[int]()
    with sandbox.worker(), sandbox.fault(_refusing(3)), pytest.raises(PartialFailureError) as caught:
        note.enqueue_many(items, progress=lambda handles: told.append(len(handles)))
    assert (told, items.taken, len(caught.value.sent), len(caught.value.unsent)) == ([20], 40, 10, 10)
    note.enqueue_many([arguments for arguments, _ in caught.value.unsent])
    assert note.enqueue_many(items, progress=lambda _: None) == 10
    sandbox.drain()
    assert sorted(seen) == list(range(50))


def test_a_failure_beside_a_wrong_item_tells_of_both(sandbox: Sandbox) -> None:
    with sandbox.worker(), sandbox.fault(_refusing(1)), pytest.raises(PartialFailureError) as caught:
        note.enqueue_many(Items(50, wrong=15), progress=lambda _: None)
    assert isinstance(caught.value.__cause__, InvalidArgumentsError)
    assert len(caught.value.sent) + len(caught.value.unsent) == 15


def test_a_group_keeps_its_order_over_the_chunks(sandbox: Sandbox) -> None:
    sent = note_in_turn.options(group="g").enqueue_many(({"number": n} for n in range(50)), progress=lambda _: None)
    assert sent == 50
    sandbox.drain()
    assert seen == list(range(50))


def test_async_code_streams_too(sandbox: Sandbox) -> None:
    told = list[int]()
    assert asyncio.run(note.aenqueue_many(Items(30), progress=lambda handles: told.append(len(handles)))) == 30
    assert told == [20, 10]


def test_a_progress_that_is_no_function_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    items = Items(50)
    with pytest.raises(TypeError, match="task 'note': progress is True, write a function"):
        note.enqueue_many(items, progress=True)  # type: ignore[call-overload]  # the mistake
    assert items.taken == 0
