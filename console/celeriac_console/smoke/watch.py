"""Runs the steps of several queues at once, and says how long each took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from celeriac.aws import pause
from celeriac.model.failure import error_message, error_type
from celeriac.model.queue import Queue
from celeriac_console.explain import explanation
from celeriac_console.smoke.steps import NotTriedError, Step, StepFailedError, steps_of
from celeriac_console.stage import consumers
from celeriac_console.terminal.next_steps import command

EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one step."""

    queue: str
    step: str
    seconds: float
    problem: str | None = None
    """What is wrong, and what to type; None if nothing is."""
    not_tried: str | None = None
    """Why the step tells nothing; None if it does."""


def smoke(queues: Sequence[Queue], ended: Callable[[Result], object]) -> list[Result]:
    """Try every step of every queue, and call `ended` with each result as it comes."""
    results: list[Result] = []

    def end(step: Step, error: Exception | None = None) -> None:
        took = round((datetime.now(UTC) - step.begun).total_seconds(), 1)
        not_tried = str(error) if isinstance(error, NotTriedError) else None
        problem = _said(error) if error is not None and not_tried is None else None
        results.append(Result(step.queue.name, step.what, took, problem, not_tried))
        ended(results[-1])

    running: list[Step] = []
    try:
        for queue in queues:
            paused = _paused(queue)
            for step in steps_of(queue):
                error = paused or _error_of(step.begin)
                if error is not None:
                    end(step, error)
                else:
                    running.append(step)
        while running:
            for step in list(running):
                has_ended, error = _look(step)
                if not has_ended:
                    continue
                if error is not None:
                    _error_of(step.clean)  # its probe may still be on its way
                running.remove(step)
                end(step, error)
            if running:
                pause.wait(EVERY_SECONDS)
    finally:
        for step in running:  # it was interrupted
            _error_of(step.clean)
    return results


def _look(step: Step) -> tuple[bool, Exception | None]:
    """Whether the step has ended, and in which error."""
    has_ended = False

    def look() -> None:
        nonlocal has_ended
        has_ended = step.has_ended()
        if not has_ended and step.is_over():
            raise step.given_up()

    error = _error_of(look)
    return has_ended or error is not None, error


def _error_of(action: Callable[[], object]) -> Exception | None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - any error of AWS is what a smoke test looks for
        return error
    return None


def _said(error: Exception) -> str:
    if isinstance(error, StepFailedError):
        return str(error)
    known = explanation(error)
    return known[0] if known is not None else f"{error_type(error)}: {error_message(error)}"


def _paused(queue: Queue) -> NotTriedError | None:
    """The error of every step if an operator has paused the queue: its probes would wait in it. None otherwise."""
    try:
        state = consumers.state(queue)
    except Exception:  # noqa: BLE001 - the probes will tell
        return None
    return NotTriedError(f"it is paused: {command('resume', queue.name)}") if state == "paused" else None
