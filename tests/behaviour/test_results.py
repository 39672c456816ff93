"""A handle's `result()` returns the task's return value, or an error says why it can't."""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from celeriac import Context, Queue, ResultNotKeptError, TransactionError, task
from celeriac.testing import Sandbox

reports = Queue("reports-with-results", batch_size=10)


@dataclass
class Invoice:
    total: Decimal
    due: date


class Receipt(BaseModel):
    number: int
    at: date


def test_a_result_has_the_return_type_of_the_task(sandbox: Sandbox) -> None:
    @task(reports)
    def bill() -> Invoice:
        return Invoice(Decimal("10.50"), date(2026, 1, 31))

    @task(reports)
    async def confirm() -> list[Receipt]:
        return [Receipt(number=1, at=date(2026, 1, 31))]

    invoice = bill.enqueue()
    assert invoice.result() == Invoice(Decimal("10.50"), date(2026, 1, 31))
    assert invoice.status().result == {"total": "10.50", "due": "2026-01-31"}  # as JSON types
    assert confirm.enqueue().result() == [Receipt(number=1, at=date(2026, 1, 31))]


def test_a_result_without_a_return_type_has_json_types(sandbox: Sandbox) -> None:
    @task(reports)
    def bill():  # type: ignore[no-untyped-def]  # noqa: ANN202 - the test needs a task without a return type
        return Invoice(Decimal("10.50"), date(2026, 1, 31))

    assert bill.enqueue().result() == {"total": "10.50", "due": "2026-01-31"}


def test_the_result_of_a_task_that_returns_none_is_none(sandbox: Sandbox) -> None:
    @task(reports)
    def nothing() -> None: ...

    @task(reports)
    def maybe() -> str | None:
        return None

    assert nothing.enqueue().result() is None
    assert maybe.enqueue().result() is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "it has no JSON form: TypeError"),
        ("x" * 250_000, "it is too large: 250,002 bytes of JSON, and a record keeps 200,000"),
        ({"mean": math.nan}, "it holds nan or infinity"),
        ([math.inf], "it holds nan or infinity"),
        ("\ud83d", "half of a surrogate pair"),
    ],
)
def test_a_result_that_is_not_kept_says_why(sandbox: Sandbox, value: object, why: str) -> None:
    @task(reports)
    def work() -> Any:
        return value

    handle = work.enqueue()
    with pytest.raises(ResultNotKeptError, match=why):
        handle.result()
    assert handle.status().state == "succeeded"
    assert handle.status().not_kept is not None


def test_a_value_returned_after_a_transaction_is_not_kept(sandbox: Sandbox) -> None:
    @task(reports)
    def place(ctx: Context) -> dict[str, str]:
        with ctx.transaction() as tx:
            tx.emit("placed", {})
        return {"order": "o-1"}

    with pytest.raises(ResultNotKeptError, match=r"keep a result with tx\.result\(value\)"):
        place.enqueue().result()


def test_a_transaction_keeps_the_result_given_to_it(sandbox: Sandbox) -> None:
    @task(reports)
    def place(ctx: Context) -> Invoice:
        invoice = Invoice(Decimal(5), date(2026, 1, 31))
        with ctx.transaction() as tx:
            tx.emit("placed", {})
            tx.result(invoice)
        return invoice

    assert place.enqueue().result() == Invoice(Decimal(5), date(2026, 1, 31))
    assert place() == Invoice(Decimal(5), date(2026, 1, 31))  # as a plain function


def test_a_transaction_with_nothing_but_a_result_commits_it(sandbox: Sandbox) -> None:
    @task(reports)
    def place(ctx: Context) -> str:
        with ctx.transaction() as tx:
            tx.result("early")
        return "late"

    assert place.enqueue().result() == "early"


def test_a_result_that_a_transaction_cannot_keep_is_refused(sandbox: Sandbox) -> None:
    raised: list[str] = []

    @task(reports)
    def place(ctx: Context) -> None:
        with ctx.transaction() as tx:
            try:
                tx.result(math.nan)
            except TransactionError as error:
                raised.append(str(error))

    place.enqueue()
    sandbox.drain()
    assert raised == ["tx.result(...): the result can't be kept, it holds nan or infinity, which JSON has no form for"]


def test_a_result_of_an_older_release_that_no_longer_fits_raises_an_error(sandbox: Sandbox) -> None:
    @task(reports, name="renamed")
    def before() -> str:
        return "text"

    handle = before.enqueue()
    sandbox.drain()

    @task(reports, name="renamed")
    def after() -> int:
        return 1

    with pytest.raises(ResultNotKeptError, match="its result: Expected `int`, got `str`"):
        after.handle(id=handle.id).result()


def test_the_timeout_of_a_result_is_a_timedelta_or_seconds(sandbox: Sandbox) -> None:
    @task(reports)
    def work() -> int:
        return 1

    later = work.options(delay=timedelta(minutes=5)).enqueue()
    for timeout in (10, 0.5, timedelta(seconds=10)):
        with pytest.raises(TimeoutError):
            later.result(timeout=timeout)
    assert later.result(timeout=600) == 1
