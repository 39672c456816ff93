from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac import Context, InvalidArgumentsError, Queue, Task, task
from celeriac.declare import registry
from celeriac.declare.signature import SignatureError
from celeriac.model import declared
from celeriac.model.errors import TaskError
from celeriac.testing.scope import of_this_test

jobs = Queue("jobs", timeout=timedelta(seconds=30))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    with registry.only(of_this_test):
        yield


def test_a_key_that_names_no_parameter_is_refused_with_the_possible_names() -> None:
    with pytest.raises(TaskError, match="task 'pay': key='order' names no parameter of it; it has payment, amount"):

        @task(jobs, key="order")
        def pay(ctx: Context, payment: str, amount: int) -> None: ...


@pytest.mark.parametrize("timeout", [timedelta(), timedelta(seconds=31)])
def test_a_timeout_longer_than_its_queues_is_refused(timeout: timedelta) -> None:
    with pytest.raises(TaskError, match=r"task 'slow': its timeout of .* of its queue 'jobs'; raise the queue's"):

        @task(jobs, timeout=timeout)
        def slow() -> None: ...


def test_an_unknown_delivery_is_refused() -> None:
    with pytest.raises(TaskError, match="delivery 'exactly_once' is none of effectively_once, at_least_once"):

        @task(jobs, delivery="exactly_once")  # type: ignore[arg-type]  # the test passes a wrong value
        def pay() -> None: ...


def test_a_signature_that_no_json_object_can_fill_is_refused() -> None:
    with pytest.raises(SignatureError, match="task 'many'"):

        @task(jobs)
        def many(*numbers: int) -> None: ...

    with pytest.raises(SignatureError, match="task 'odd'"):

        @task(jobs)
        def odd(number: float | list[int] | set[int]) -> None: ...


class Opaque: ...


def test_a_type_that_cannot_be_read_from_json_is_refused() -> None:
    with pytest.raises(SignatureError, match=r"task 'odd': .*nothing reads a Opaque from JSON"):

        @task(jobs)
        def odd(numbers: list[Opaque]) -> None: ...


def test_a_fifo_queue_needs_a_group() -> None:
    @task(Queue("ledger", fifo=True))
    def book(entry: str) -> None: ...

    with pytest.raises(ValueError, match=r"its queue 'ledger' is FIFO, enqueue it with options\(group="):
        book.enqueue(entry="e-1")


@pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(days=366)])
def test_a_delay_beyond_a_year_is_refused(delay: timedelta) -> None:
    @task(jobs)
    def later() -> None: ...

    with pytest.raises(ValueError, match="task 'later': a delay of"):
        later.options(delay=delay)


@pytest.mark.parametrize("key", ["", "00000000-0000-0000-0000-000000000000"])
def test_an_empty_key_is_refused(key: str) -> None:
    @task(jobs)
    def pay() -> None: ...

    with pytest.raises(ValueError, match="duplicates of each other"):
        pay.options(key=key)


def test_two_tasks_with_one_name_are_refused_when_the_package_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "twins"
    package.mkdir()
    (package / "__init__.py").touch()
    source = "from celeriac import Queue, task\n@task(Queue('twin'), name='{name}')\ndef {function}() -> None: ...\n"
    (package / "a.py").write_text(source.format(name="same", function="first"))
    (package / "b.py").write_text(source.format(name="same", function="second"))
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(declared.DuplicateNameError, match=r"'same': twins\.a\.first and twins\.b\.second"):
            registry.load("twins")
    finally:
        for home in ("twins.a.first (same)", "twins.b.second (same)"):
            del registry._by_home[home]


def test_two_queues_with_one_name_are_refused_with_their_variables() -> None:
    module: Any = type(registry)("declarations")
    module.first, module.second = Queue("jobs"), Queue("jobs", max_receives=5)
    with pytest.raises(declared.DuplicateNameError, match="first and second are both named 'jobs'"):
        declared.of(module, Queue)


def test_a_pydantic_model_can_be_an_argument() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Order(pydantic.BaseModel):  # type: ignore[misc, name-defined]  # pydantic is an optional package of the user
        number: int

    def place(order: Order) -> None: ...

    made: Task[..., None, None] = task(jobs)(place)
    raw, arrived = made.signature.encode({"order": Order(number=3)})
    assert raw == b'{"order":{"number":3}}'
    assert made.signature.decode(raw)["order"] == arrived["order"] == Order(number=3)
    with pytest.raises(InvalidArgumentsError, match="number"):
        made.signature.encode({"order": {"number": "many"}})


def test_options_do_not_change_the_task_itself() -> None:
    @task(jobs)
    def pay() -> None: ...

    assert pay.options(key="k") is not pay
    assert pay._options.key is None


@pytest.mark.parametrize(
    ("declared", "cure"),
    [
        ({"retry": 5}, "retry=5 is neither a Backoff nor callable"),
        ({"retry": True}, "neither a Backoff nor callable"),
        ({"on": ""}, "such as order.created"),
        ({"on": ["order.created"]}, r"on=\['order.created'\] is no event's name"),
        ({"on": "order.[ab]"}, r"has a bracket; only \* and \? stand for others"),
        ({"timeout": 5}, r"write timedelta\(seconds=5\)"),
    ],
)
def test_a_declaration_of_the_wrong_kind_is_refused_with_its_cure(declared: dict[str, Any], cure: str) -> None:
    with pytest.raises(TaskError, match=f"task 'wrong': .*{cure}"):

        @task(Queue("jobs"), **declared)
        def wrong() -> None: ...


@pytest.mark.parametrize("name", [5, "n" * 201])
def test_a_name_that_is_no_text_or_too_long_is_refused(name: Any) -> None:
    with pytest.raises(TaskError, match="must be a text of 1-200 characters"):

        @task(Queue("jobs"), name=name)
        def wrong() -> None: ...


def test_a_class_as_a_task_is_refused() -> None:
    with pytest.raises(TaskError, match=r"task 'Report': .*Report is a class, write a function"):
        task(Queue("jobs"))(Report)


class Report:
    """A class that somebody takes for a task."""


def test_a_string_as_a_queue_is_refused_with_its_cure() -> None:
    with pytest.raises(TaskError, match=r"'jobs' is no Queue: declare one in application/queues\.py"):
        task("jobs")  # type: ignore[arg-type]  # the test passes a wrong type
