"""Who comes from Celery and writes what is written there reads what it is called here.

Each `type: ignore` is a check of its own: mypy says so where it isn't needed, so all of these are refused by it too.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, InvalidArgumentsError, Queue, Retry, task
from celeriac.declare import registry
from celeriac.model.declaration import TaskError
from celeriac.model.habits import DECLARING
from celeriac.testing import Sandbox
from celeriac.testing.scope import of_this_test

jobs = Queue("habits")
ran: list[object] = []


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    ran.clear()
    with registry.only(of_this_test):
        yield


@task(jobs)
def pay(order: str) -> None: ...


@task(jobs, name="timers.start")
def start(countdown: int, eta: str = "soon", key: str = "") -> None:
    ran.append((countdown, eta, key))


def test_delay_is_enqueue() -> None:
    with pytest.raises(AttributeError, match=r"pay has no delay: write pay.enqueue\(...\)"):
        pay.delay("o-1")  # type: ignore[attr-defined]


def test_apply_async_is_options_and_enqueue() -> None:
    with pytest.raises(
        AttributeError, match=r"pay.enqueue\(...\), with a delay pay.options\(delay=..., at=...\).enqueue"
    ):
        pay.apply_async(("o-1",), countdown=60)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["delay", "apply_async", "apply", "retry", "s", "si"])
def test_a_method_that_is_not_there_is_not_there(name: str) -> None:
    assert not hasattr(pay, name)
    assert not hasattr(pay.options(key="k"), name)


def test_a_task_of_another_name_is_written_as_its_function() -> None:
    with pytest.raises(AttributeError, match=r"write start.enqueue"):
        start.delay(1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "instead"),
    [("get", r"handle.result\(timeout=...\)"), ("ready", r"handle.status\(\).state in"), ("revoke", "give_up_after")],
)
def test_a_handle_is_asked_in_other_words(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=f"handle has no {name}: .*{instead}"):
        getattr(pay.handle(key="o-1"), name)


@pytest.mark.parametrize("item", [1, "o-1", ("order", "o-1"), None])
def test_what_is_no_dict_is_no_message_of_many(item: object) -> None:
    with pytest.raises(InvalidArgumentsError, match=rf'such as {{"order": ...}}, and got {type(item).__name__}'):
        pay.enqueue_many([item])  # type: ignore[list-item]


def test_any_other_attribute_is_refused_as_ever() -> None:
    with pytest.raises(AttributeError, match="'Task' object has no attribute 'nonsense'"):
        pay.nonsense()  # type: ignore[attr-defined]


def test_countdown_and_eta_are_no_arguments_of_a_task() -> None:
    with pytest.raises(
        InvalidArgumentsError, match=r"instead of countdown= write pay.options\(delay=timedelta\(seconds=...\)\)"
    ):
        pay.enqueue("o-1", countdown=60)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgumentsError, match=r"instead of eta= write pay.options\(at=datetime\).enqueue"):
        pay.enqueue_many([{"order": "o-1", "eta": "tomorrow"}])
    with pytest.raises(InvalidArgumentsError, match=r"instead of delay= write pay.options\(delay=timedelta\(...\)\)"):
        pay.parcel("o-1", delay=timedelta(seconds=1))  # type: ignore[call-arg]


def test_a_parameter_of_that_name_is_a_parameter(sandbox: Sandbox) -> None:
    start.enqueue(countdown=3, eta="now", key="k")
    start.enqueue_many([{"countdown": 4}])
    sandbox.drain()
    assert sorted(ran, key=str) == [(3, "now", "k"), (4, "soon", "")]
    # Where it has such a parameter, it isn't to blame for what is missing beside it.
    with pytest.raises(InvalidArgumentsError, match='no parameter "delay"; instead of delay= write start'):
        start.enqueue(countdown=3, delay=1)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgumentsError, match=r"missing a required argument: 'countdown'$"):
        start.enqueue(eta="now")  # type: ignore[call-arg]


def test_options_are_timedeltas_and_datetimes() -> None:
    with pytest.raises(
        TypeError, match=r"options\(\) has no countdown; instead of countdown= write pay.options\(delay="
    ):
        pay.options(countdown=60)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"options\(\) has no eta; instead of eta= write pay.options\(at=datetime\)"):
        pay.options(eta="tomorrow")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"options\(\) has no colour; it takes delay, at, group and key"):
        pay.options(colour="red")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"task 'pay': delay is 60, write delay=timedelta\(seconds=60\)"):
        pay.options(delay=60)  # type: ignore[arg-type]


def test_an_option_of_a_declaration_is_named_with_its_task() -> None:
    with pytest.raises(
        TaskError, match=r"task 'charge': @task\(...\) has no max_retries; .* retry=Backoff\(attempts=...\)"
    ):

        @task(jobs, max_retries=3)  # type: ignore[arg-type]
        def charge() -> None: ...


@pytest.mark.parametrize("option", DECLARING)
def test_each_of_them_has_its_cure(option: str) -> None:
    unknown: dict[str, object] = {option: True}
    with pytest.raises(TaskError, match=f"has no {option}; instead of {option}= write ") as refused:
        task(jobs, **unknown)(print)  # type: ignore[arg-type]
    assert "{" not in str(refused.value)


def test_all_of_them_are_told_at_once() -> None:
    with pytest.raises(TaskError, match=r"instead of bind= .*; instead of acks_late= write nothing"):
        task(jobs, bind=True, acks_late=True)(print)  # type: ignore[arg-type]


def test_an_option_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        TaskError, match="has no colour; it takes name, key, delivery, retry, timeout, on, cron, timezone"
    ):
        task(jobs, colour="red")(print)  # type: ignore[arg-type]


def test_a_queue_by_its_name_is_refused() -> None:
    with pytest.raises(TaskError, match="'payments' is no Queue: declare one"):
        task(queue="payments")  # type: ignore[arg-type]


def test_a_context_says_how_to_retry() -> None:
    @task(jobs, retry=Backoff(attempts=1))
    def charge(ctx: Context) -> None:
        ctx.retry(countdown=60)  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match=r"ctx has no retry: write `raise Retry\(delay=timedelta\(...\)\)`"):
        charge()


def test_a_retry_has_a_delay() -> None:
    with pytest.raises(TypeError, match=r"Retry\(\) has no countdown; .* Retry\(delay=timedelta\(seconds=...\)\)"):
        Retry("busy", countdown=60)  # type: ignore[arg-type]
