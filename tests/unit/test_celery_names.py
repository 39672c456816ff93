"""Code that is written as for Celery gets an error that names Celeriac's way.

Each `type: ignore` is a check too: mypy reports an unneeded one, so mypy refuses all these calls as well.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from celeriac import Backoff, Context, InvalidArgumentsError, Queue, Retry, task
from celeriac.declare import registry
from celeriac.model.celery_names import DECLARING
from celeriac.model.errors import TaskError
from celeriac.testing import Sandbox
from celeriac.testing.scope import of_this_test

jobs = Queue("names")
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


def test_the_error_for_delay_names_enqueue() -> None:
    with pytest.raises(AttributeError, match=r"pay has no delay: write pay.enqueue\(...\)"):
        pay.delay("o-1")  # type: ignore[attr-defined]


def test_the_error_for_apply_async_names_options_and_enqueue() -> None:
    with pytest.raises(
        AttributeError, match=r"pay.enqueue\(...\), with a delay pay.options\(delay=..., at=...\).enqueue"
    ):
        pay.apply_async(("o-1",), countdown=60)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["delay", "apply_async", "apply", "retry", "s", "si"])
def test_a_task_has_no_method_of_celery(name: str) -> None:
    assert not hasattr(pay, name)
    assert not hasattr(pay.options(key="k"), name)


def test_the_error_for_a_renamed_task_names_its_function() -> None:
    with pytest.raises(AttributeError, match=r"write start.enqueue"):
        start.delay(1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("get", r"handle.result\(timeout=...\)"),
        ("ready", r"handle.status\(\).state in"),
        ("revoke", r"handle.cancel\(\.\.\.\)"),
    ],
)
def test_the_error_for_a_method_of_a_celery_result_names_the_handles_way(name: str, instead: str) -> None:
    with pytest.raises(AttributeError, match=f"handle has no {name}: .*{instead}"):
        getattr(pay.handle(key="o-1"), name)


@pytest.mark.parametrize("item", [1, "o-1", ("order", "o-1"), None])
def test_enqueue_many_refuses_items_that_are_not_dicts(item: object) -> None:
    with pytest.raises(InvalidArgumentsError, match=rf'such as {{"order": ...}}, and got {type(item).__name__}'):
        pay.enqueue_many([item])  # type: ignore[list-item]


def test_any_other_attribute_gets_the_usual_error() -> None:
    with pytest.raises(AttributeError, match="'Task' object has no attribute 'nonsense'"):
        pay.nonsense()  # type: ignore[attr-defined]


def test_countdown_and_eta_are_refused_as_arguments() -> None:
    with pytest.raises(
        InvalidArgumentsError, match=r"instead of countdown= write pay.options\(delay=timedelta\(seconds=...\)\)"
    ):
        pay.enqueue("o-1", countdown=60)  # type: ignore[call-arg]
    with pytest.raises(InvalidArgumentsError, match=r"instead of eta= write pay.options\(at=datetime\).enqueue"):
        pay.enqueue_many([{"order": "o-1", "eta": "tomorrow"}])
    with pytest.raises(InvalidArgumentsError, match=r"instead of delay= write pay.options\(delay=timedelta\(...\)\)"):
        pay.parcel("o-1", delay=timedelta(seconds=1))  # type: ignore[call-arg]


def test_a_parameter_named_like_an_option_of_celery_is_a_parameter(sandbox: Sandbox) -> None:
    start.enqueue(countdown=3, eta="now", key="k")
    start.enqueue_many([{"countdown": 4}])
    sandbox.drain()
    assert sorted(ran, key=str) == [(3, "now", "k"), (4, "soon", "")]
    # If the task has such a parameter, the error for another missing argument doesn't mention it.
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
    with pytest.raises(TypeError, match=r"options\(\) has no colour; it takes delay, at, group, key and expires"):
        pay.options(colour="red")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"task 'pay': delay is 60, write delay=timedelta\(seconds=60\)"):
        pay.options(delay=60)  # type: ignore[arg-type]


def test_the_error_for_an_unknown_task_option_names_the_task() -> None:
    with pytest.raises(
        TaskError, match=r"task 'charge': @task\(...\) has no max_retries; .* retry=Backoff\(attempts=...\)"
    ):

        @task(jobs, max_retries=3)  # type: ignore[arg-type]
        def charge() -> None: ...


@pytest.mark.parametrize("option", DECLARING)
def test_each_task_option_of_celery_has_its_cure(option: str) -> None:
    unknown: dict[str, object] = {option: True}
    with pytest.raises(TaskError, match=f"has no {option}; instead of {option}= write ") as refused:
        task(jobs, **unknown)(print)  # type: ignore[arg-type]
    assert "{" not in str(refused.value)


def test_all_unknown_task_options_are_named_at_once() -> None:
    with pytest.raises(TaskError, match=r"instead of bind= .*; instead of acks_late= write nothing"):
        task(jobs, bind=True, acks_late=True)(print)  # type: ignore[arg-type]


def test_an_unknown_task_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        TaskError,
        match="has no colour; it takes name, key, delivery, retry, timeout, on, cron, timezone, former_queues",
    ):
        task(jobs, colour="red")(print)  # type: ignore[arg-type]


def test_a_queue_by_its_name_is_refused() -> None:
    with pytest.raises(TaskError, match="'payments' is no Queue: declare one"):
        task(queue="payments")  # type: ignore[arg-type]


def test_the_error_for_ctx_retry_names_raise_retry() -> None:
    @task(jobs, retry=Backoff(attempts=1))
    def charge(ctx: Context) -> None:
        ctx.retry(countdown=60)  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match=r"ctx has no retry: write `raise Retry\(delay=timedelta\(...\)\)`"):
        charge()


def test_the_error_for_a_countdown_of_retry_names_delay() -> None:
    with pytest.raises(TypeError, match=r"Retry\(\) has no countdown; .* Retry\(delay=timedelta\(seconds=...\)\)"):
        Retry("busy", countdown=60)  # type: ignore[arg-type]
