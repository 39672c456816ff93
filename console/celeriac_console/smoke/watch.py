"""Runs the steps of several queues at once, and says how long each took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from celeriac.aws import pause
from celeriac.model.failure import error_message, error_type
from celeriac.model.queue import Queue
from celeriac_console.explain import explanation
from celeriac_console.smoke.steps import Step, StepFailedError, steps_of
from celeriac_console.stage.consumers import mapping_of, state_of
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


def smoke(queues: Sequence[Queue], ended: Callable[[Result], object]) -> list[Result]:
    """Try every step of every queue, and call `ended` with each result as it comes."""
    results: list[Result] = []

    def end(step: Step, problem: str | None = None) -> None:
        took = (datetime.now(UTC) - step.begun).total_seconds()
        results.append(Result(step.queue.name, step.what, round(took, 1), problem))
        ended(results[-1])

    running: list[Step] = []
    for queue in queues:
        paused = _paused(queue)
        for step in steps_of(queue):
            problem = paused or _failed(step.begin)
            if problem is not None:
                end(step, problem)
            else:
                running.append(step)
    try:
        while running:
            for step in list(running):
                found = _look(step)
                if found is not None:
                    running.remove(step)
                    end(step, found or None)
            if running:
                pause.wait(EVERY_SECONDS)
    finally:
        for step in running:  # it was interrupted
            _failed(step.clean)
    return results


def _look(step: Step) -> str | None:
    """The step's problem, empty if it has ended well; None if it goes on."""
    has_ended = False

    def look() -> None:
        nonlocal has_ended
        has_ended = step.has_ended()

    def give_up() -> None:
        if step.is_over():
            took = (datetime.now(UTC) - step.begun).total_seconds()
            raise StepFailedError(f"after {took:.0f} s {step.late()}")

    problem = _failed(look)
    if problem is None and not has_ended:
        problem = _failed(give_up)
    return problem if problem is not None else "" if has_ended else None


def _failed(action: Callable[[], object]) -> str | None:
    """What to say of the action's error; None if it has none."""
    try:
        action()
    except StepFailedError as failed:
        return str(failed)
    except Exception as error:  # noqa: BLE001 - any error of AWS is what a smoke test looks for
        known = explanation(error)
        return known[0] if known is not None else f"{error_type(error)}: {error_message(error)}"
    return None


def _paused(queue: Queue) -> str | None:
    """What to say if an operator has paused the queue: its probes would wait in it. None otherwise."""
    try:
        state = state_of(mapping_of(queue))
    except Exception:  # noqa: BLE001 - the probes will tell
        return None
    return f"it is paused: {command('resume', queue.name)}" if state == "paused" else None
