"""Checks of a task's declaration: a task that its queue couldn't run as declared is refused."""

import inspect
from datetime import timedelta
from typing import Any

from celeriac.declare.check_flow import check_flow
from celeriac.declare.task import Task
from celeriac.model.cron import MOST_NAME_CHARACTERS
from celeriac.model.errors import TaskError
from celeriac.model.firings import CATCH_UP
from celeriac.model.guarantee import GUARANTEES, ON_MISMATCH
from celeriac.model.queue import Queue
from celeriac.model.retry import Backoff, Custom

# The name is repeated in records, logs and metrics, whose dimensions have up to 1,024 characters:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
MOST_TASK_NAME = 200


def check(made: Task[..., Any, Any]) -> None:
    """Raise TaskError or SignatureError, naming the task and the cure, for a declaration that can't work."""
    name, queue = made.name, made.queue
    _check_name(name)
    if inspect.isclass(made.function):
        raise TaskError(f"task {name!r}: {made.function.__qualname__} is a class, write a function that calls it")
    if made.guarantee not in GUARANTEES:
        raise TaskError(f"task {name!r}: delivery {made.guarantee!r} is none of {', '.join(GUARANTEES)}")
    if made.catch_up not in CATCH_UP:
        raise TaskError(f"task {name!r}: catch_up {made.catch_up!r} is none of {', '.join(CATCH_UP)}")
    if made.catch_up != "one" and made.cron is None:
        raise TaskError(f"task {name!r}: catch_up is about firings of a schedule: give the task a cron")
    if made.on_mismatch not in ON_MISMATCH:
        raise TaskError(f"task {name!r}: on_mismatch {made.on_mismatch!r} is none of {', '.join(ON_MISMATCH)}")
    if made.on_mismatch != "skip" and made.guarantee == "at_least_once":
        raise TaskError(f"task {name!r}: an at_least_once task keeps no record of keys, leave `on_mismatch` out")
    if not (isinstance(made.policy, Backoff) or callable(made.policy.policy)):
        raise TaskError(f"task {name!r}: retry={made.policy.policy!r} is neither a Backoff nor callable")
    if made.on is not None:
        _check_event(name, made.on)
    if made.timeout is not None and not isinstance(made.timeout, timedelta):
        raise TaskError(f"task {name!r}: its timeout is {made.timeout!r}, write timedelta(seconds={made.timeout!r})")
    if inspect.isgeneratorfunction(made.function) or inspect.isasyncgenfunction(made.function):
        raise TaskError(f"task {name!r}: a generator runs only when it is iterated, which no queue does: return")
    policy = made.policy
    for problem in policy.problems() if isinstance(policy, Backoff) else ():
        raise TaskError(f"task {name!r}: its Backoff can't be kept, {problem}")
    if made.guarantee == "at_most_once" and (isinstance(policy, Custom) or policy.attempts > 1):
        raise TaskError(f"task {name!r}: delivery at_most_once means a single attempt, leave `retry` out")
    if isinstance(policy, Backoff) and queue.fifo:
        _check_waits(name, policy, queue)
    if made.timeout is not None and not timedelta() < made.timeout <= queue.timeout:
        raise TaskError(
            f"task {name!r}: its timeout of {made.timeout} must be more than nothing and at most the {queue.timeout} "
            f"of its queue {queue.name!r}; raise the queue's"
        )
    _check_former_queues(made)
    if made.cron is not None:
        _check_cron(made)
    try:
        fields = made.signature.fields
    except NameError:
        # A forward reference: its name exists once the module is loaded, so the signature is read at its first use.
        fields = tuple(inspect.signature(made.function).parameters)
    if made.key is not None and made.key not in fields:
        raise TaskError(
            f"task {name!r}: key={made.key!r} names no parameter of it; it has {', '.join(fields) or 'none'}"
        )
    check_flow(made, fields)
    if made.on_aws is not None:
        from celeriac.declare.check_aws_event import check_aws_event  # noqa: PLC0415 - few tasks need it

        check_aws_event(made, made.on_aws, fields, _required(made))


def _check_name(name: str) -> None:
    if str(name) != name or not 0 < len(name) <= MOST_TASK_NAME:
        raise TaskError(f"task {str(name)[:60]!r}: its name must be a text of 1-{MOST_TASK_NAME} characters")
    if not name.isprintable():
        raise TaskError(f"task {name!r}: its name has a character that can't be printed: give the task another name=")
    if name == "celeriac":
        raise TaskError("task 'celeriac': Celeriac's own items begin with that name: give the task another name=")
    if name.startswith("celeriac."):
        raise TaskError(f"task {name!r}: Celeriac's own tasks begin with `celeriac.`: give the task another name=")
    if "#" in name:
        # Ids of records begin with the task and a `#`, and a consumer's role knows its tasks by that.
        raise TaskError(f"task {name!r}: its name can't have a '#': give the task another name=")


def _check_event(name: str, on: object) -> None:
    if not isinstance(on, str) or not on:
        raise TaskError(
            f"task {name!r}: on={on!r} is no event's name; leave it out, name one, such as order.created, or give "
            "an Event"
        )
    if set(on) & set("[]"):
        raise TaskError(f"task {name!r}: on={on!r} has a bracket; only * and ? stand for others, as in order.*")


def _check_former_queues(made: Task[..., Any, Any]) -> None:
    name, former = made.name, made.former_queues
    if isinstance(former, Queue) or not all(isinstance(queue, Queue) for queue in former):
        raise TaskError(f"task {name!r}: former_queues is {former!r}, write a list: former_queues=[that_queue]")
    if made.queue.name in [queue.name for queue in former]:
        raise TaskError(f"task {name!r}: {made.queue.name!r} is its queue, so leave it out of former_queues")
    for queue in former:
        if queue.fifo and isinstance(made.policy, Backoff):
            _check_waits(name, made.policy, queue)


def _check_waits(name: str, policy: Backoff, queue: Queue) -> None:
    """On a FIFO queue the message stays in the queue while it waits for its next attempt."""
    if policy.attempts >= queue.receive_limit:
        raise TaskError(
            f"task {name!r}: its {policy.attempts} attempts on the FIFO queue {queue.name!r} cost a receive each, "
            f"and SQS gives up after {queue.receive_limit}; raise the queue's max_receives"
        )
    if (longest := policy.longest(queue.timeout)) > queue.retention - queue.longest_delivery:
        raise TaskError(
            f"task {name!r}: its {policy.attempts} attempts may take {longest}, waits and runs together. On the FIFO "
            f"queue {queue.name!r} the message waits in the queue, and SQS deletes it after {queue.retention}, of "
            f"which the last {queue.longest_delivery} are left for the messages behind it. Lower the attempts or the "
            "cap, or raise the queue's retention"
        )


def _check_cron(made: Task[..., Any, Any]) -> None:
    name = made.name
    if made.queue.fifo:
        raise TaskError(
            f"task {name!r}: a schedule can't send to the FIFO queue {made.queue.name!r}; put it on a standard one, "
            "and let it enqueue there"
        )
    if len(name) > MOST_NAME_CHARACTERS:
        raise TaskError(f"task {name!r}: with a schedule its name may have {MOST_NAME_CHARACTERS} characters")
    if without := _required(made):
        raise TaskError(f"task {name!r}: a schedule calls it without arguments, give a default to {', '.join(without)}")


def _required(made: Task[..., Any, Any]) -> list[str]:
    """The parameters that a message must give a value."""
    parameters = list(inspect.signature(made.function).parameters.values())
    return [p.name for p in parameters[1 if _takes_context(made) else 0 :] if p.default is p.empty]


def _takes_context(made: Task[..., Any, Any]) -> bool:
    try:
        return made.signature.takes_context
    except NameError:  # a forward reference, see `check`
        return next(iter(inspect.signature(made.function).parameters), "") == "ctx"
