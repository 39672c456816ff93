"""Names that users of Celery know, and what to write instead of them in Celeriac."""

from collections.abc import Iterable

_LATER = "options(delay=timedelta(...)) or options(at=datetime)"

# Methods of a Celery task. `{task}` stands for the task's name.
METHODS = {
    "delay": "write {task}.enqueue(...)",
    "apply_async": "write {task}.enqueue(...), with a delay {task}.options(delay=..., at=...).enqueue(...)",
    "apply": "call the task: {task}(...) runs it at once, in this process",
    "retry": "write `raise Retry(delay=timedelta(...))` in it",
    "s": "enqueue the next task in this one, or in its transaction: tx.enqueue({task}, ...)",
    "si": "enqueue the next task in this one, or in its transaction: tx.enqueue({task}, ...)",
}
# Attributes of `self` in a bound Celery task. In Celeriac a Context takes its place.
CONTEXT = {
    "retry": "write `raise Retry(delay=timedelta(...))`",
    "request": "the context has its values: {task}.id, {task}.attempt, {task}.key",
}
# Attributes of a result in Celery. In Celeriac a handle takes its place.
HANDLE = {
    "get": "write {task}.result(timeout=...)",
    "wait": "write {task}.result(timeout=...)",
    "state": "write {task}.status().state",
    "ready": 'write {task}.status().state in ("succeeded", "dead", "cancelled")',
    "successful": 'write {task}.status().state == "succeeded"',
    "failed": 'write {task}.status().state == "dead"',
    "revoke": "write {task}.cancel(...)",
}
# Keywords of a call that enqueues, and of `options`.
SENDING = {
    "countdown": "{task}.options(delay=timedelta(seconds=...)).enqueue(...)",
    "eta": "{task}.options(at=datetime).enqueue(...), with a time zone",
    "delay": "{task}.options(delay=timedelta(...)).enqueue(...)",
    "at": "{task}.options(at=datetime).enqueue(...), with a time zone",
    "group": "{task}.options(group=...).enqueue(...)",
    "key": "{task}.options(key=...).enqueue(...)",
    "task_id": "{task}.options(key=...).enqueue(...)",
    "expires": "{task}.options(expires=timedelta(...)).enqueue(...)",
    "queue": "@task(that_queue): a task has one queue",
    "priority": "a separate queue for urgent tasks: a queue has no priorities",
}
# Keywords of `Retry(...)`.
RETRYING = {
    "countdown": "{task}(delay=timedelta(seconds=...))",
    "eta": "{task}(delay=that_time - now)",
    "when": "{task}(delay=timedelta(...))",
    "exc": "raise {task}(...) from that_error",
    "max_retries": "retry=Backoff(attempts=...) in its @task(...)",
}
# Keywords of `@task(...)`.
DECLARING = {
    "bind": "a first parameter `ctx: Context`",
    "max_retries": "retry=Backoff(attempts=...), the first attempt included",
    "autoretry_for": "retry=Backoff(retry_on=(...)); without it every error is retried",
    "dont_autoretry_for": "retry=Backoff(reject_on=(...))",
    "throws": "retry=Backoff(reject_on=(...))",
    "retry_backoff": "retry=Backoff(base=timedelta(...), factor=2)",
    "retry_backoff_max": "retry=Backoff(cap=timedelta(...))",
    "retry_jitter": "retry=Backoff(jitter=0.3)",
    "retry_kwargs": "retry=Backoff(...)",
    "default_retry_delay": "retry=Backoff(base=timedelta(...))",
    "rate_limit": "Queue(concurrency=..., max_concurrency=...): how many run at once",
    "acks_late": "nothing: a message is always acknowledged late",
    "reject_on_worker_lost": "nothing: the messages of a worker that died are run again",
    "time_limit": "timeout=timedelta(...)",
    "soft_time_limit": "timeout=timedelta(...)",
    "ignore_result": "nothing: a result is kept in the record, which is written anyway",
    "serializer": "nothing: arguments are JSON, read by the types of the signature",
    "priority": "a separate queue for urgent tasks: a queue has no priorities",
    "countdown": _LATER + " when you enqueue it",
    "eta": _LATER + " when you enqueue it",
    "delay": _LATER + " when you enqueue it",
}


def cures(keywords: Iterable[str], known: dict[str, str], task: str) -> str:
    """Say what to write instead of each keyword that is in `known`; empty if none of them is.

    >>> cures(["countdown"], SENDING, "pay")
    'instead of countdown= write pay.options(delay=timedelta(seconds=...)).enqueue(...)'
    """
    return "; ".join(f"instead of {name}= write {known[name].format(task=task)}" for name in keywords if name in known)


class Missing:
    """A method of Celery that Celeriac doesn't have. Reading it raises AttributeError, which says what to write.

    Classes get it by `setattr`, so that no type checker sees it: the type checker would take it for a real method.
    """

    def __init__(self, name: str, cure: str, owner: str = "ctx") -> None:
        self._name = name
        self._cure = cure
        self._owner = owner

    def __get__(self, owner: object, cls: type) -> object:
        if owner is None:
            return self
        task = getattr(owner, "__name__", self._owner)
        raise AttributeError(f"{task} has no {self._name}: {self._cure.format(task=task)}")
