"""Sentry: the error of each failed attempt, and each dead letter that never ran."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celeriac.hooks.events import AfterOutcome, AroundTask, OnDeadLetter
from celeriac.hooks.hook import Hooks
from celeriac.integrations.needed import MissingPackageError
from celeriac.model.retry import Retry
from celeriac.observe.text import key_hash

try:
    import sentry_sdk
    from sentry_sdk.scope import use_isolation_scope
except ModuleNotFoundError as error:
    raise MissingPackageError("sentry", "sentry-sdk") from error

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_NOTE = "celeriac.integrations.sentry"
# Celeriac's own line about a dead letter. It says less than the error that is captured for it.
_OUR_LINE = "task dead"
_OUR_FILE = "celeriac/consume/report.py"


class Sentry(Hooks):
    """Captures what tasks raise, as warnings if a retry follows and as errors if not. Call `sentry_sdk.init` before.

    Events have the tags `task`, `queue`, `message_id`, `attempt`, `outcome` and `key_hash`. What a task adds to
    Sentry's scope, such as breadcrumbs, is in its events only. A `Retry` that a task raises is no error, and
    is captured only if it was the last one.

    variables: whether the variables of the stack's frames are sent. The arguments of tasks are among them, so they
    aren't by default.
    texts: whether the errors' texts are sent. A text may quote the payload.
    flush_seconds: how long an attempt that failed waits for Sentry. Lambda stops the worker after its answer, and with
    it what isn't sent yet. 0 if something else flushes, such as Sentry's own integration of Lambda.
    """

    def __init__(self, *, variables: bool = False, texts: bool = True, flush_seconds: float = 2.0) -> None:
        self._variables, self._texts, self._flush_seconds = variables, texts, flush_seconds
        sentry_sdk.get_global_scope().add_event_processor(_without_our_line)

    @contextmanager
    def around_task(self, event: AroundTask) -> Iterator[None]:
        """Give the attempt a scope of its own, which `after_outcome` finds again."""
        with sentry_sdk.isolation_scope() as scope:
            scope.set_transaction_name(event.task, source="task")
            scope.set_tags(
                _tags(event.task, event.queue, event.id, event.key) | {"attempt": str(event.attempt)},
            )
            event.notes[_NOTE] = scope
            yield

    def after_outcome(self, event: AfterOutcome) -> None:
        """Capture the error of the attempt."""
        scope = event.notes.pop(_NOTE, None)
        asked_for = isinstance(event.error, Retry) and event.outcome == "retried"
        if event.error is None or asked_for or event.outcome == "handed_back":
            return
        if scope is None:
            scope = sentry_sdk.get_isolation_scope().fork()
        with use_isolation_scope(scope), sentry_sdk.new_scope() as inner:
            tags = {"attempt": str(event.attempt), "outcome": event.outcome}
            inner.set_tags(_tags(event.task, event.queue, event.id, event.key) | tags)
            inner.set_level("warning" if event.outcome == "retried" else "error")
            inner.add_event_processor(self._bare)
            sentry_sdk.capture_exception(event.error)
        self._flush()

    def on_dead_letter(self, event: OnDeadLetter) -> None:
        """Capture a dead letter that has no error of a task, such as one that can't be read."""
        if event.error is not None:
            return
        with sentry_sdk.isolation_scope() as scope:
            tags = {"attempt": str(event.attempts), "outcome": "dead", "reason": event.reason}
            scope.set_tags(_tags(event.task, event.queue, event.id, event.key) | tags)
            scope.fingerprint = ["celeriac", "dead letter", event.queue, event.task, event.reason]
            sentry_sdk.capture_message(f"dead letter: {event.reason}", level="error")
        self._flush()

    def _flush(self) -> None:
        if self._flush_seconds:
            sentry_sdk.flush(timeout=self._flush_seconds)

    def _bare(self, event: "Event", hint: "Hint") -> "Event":  # noqa: ARG002 - the form of Sentry's processors
        """Take out of an event what may hold a payload."""
        found: Any = event.get("exception") or {}
        for each in found.get("values", []):
            if not self._texts:
                each["value"] = ""
            if not self._variables:
                for frame in (each.get("stacktrace") or {}).get("frames", []):
                    frame.pop("vars", None)
        return event


def _tags(task: str, queue: str, message_id: str, key: str) -> dict[str, str]:
    return {"task": task, "queue": queue, "message_id": message_id, "key_hash": key_hash(key) if key else ""}


def _without_our_line(event: "Event", hint: "Hint") -> "Event | None":
    record = hint.get("log_record")
    is_ours = record is not None and record.msg == _OUR_LINE and record.pathname.endswith(_OUR_FILE)
    return None if is_ours else event
