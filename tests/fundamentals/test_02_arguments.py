"""Chapter 2: the signature is the payload. Arguments are checked when they are sent and when they arrive."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest

from celeriac import InvalidArgumentsError, Queue, task
from celeriac.testing import Sandbox

invoices = Queue("chapter-2")
booked: list[object] = []


@dataclass(frozen=True)
class Line:
    article: str
    price: Decimal


@task(invoices)
def book(number: int, lines: list[Line], due: date | None = None) -> None:
    booked.append((number, lines, due))


def test_values_arrive_with_the_types_of_the_signature(sandbox: Sandbox) -> None:
    book.enqueue(7, [Line("pen", Decimal("1.10"))], due=date(2026, 2, 1))
    sandbox.drain()
    assert booked == [(7, [Line("pen", Decimal("1.10"))], date(2026, 2, 1))]
    booked.clear()


def test_a_wrong_argument_is_refused_before_anything_is_sent(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentsError, match="number"):
        book.enqueue("seven", [])  # type: ignore[arg-type]
    assert sandbox.calls["sqs", "SendMessage"] == 0


def test_a_misspelled_argument_gets_a_hint(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArgumentsError, match="did you mean number"):
        book.enqueue(numbr=7, lines=[])  # type: ignore[call-arg]


def test_a_wrong_argument_of_another_program_is_a_dead_letter(sandbox: Sandbox) -> None:
    sandbox.send(invoices, {"task": "book", "args": {"number": "seven", "lines": []}})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(invoices)
    assert letter.failure is not None
    assert letter.failure.reason == "malformed"
    assert "number" in letter.failure.message
