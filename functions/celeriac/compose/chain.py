"""Chains: tasks that run one after another, each with the recorded result of the one before."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, overload

from msgspec import Struct

from celeriac.aws import pause
from celeriac.compose import fitting
from celeriac.compose.stored import derived, stored
from celeriac.declare import leaving
from celeriac.declare.bound import Bound
from celeriac.declare.handle import Handle, TaskCancelled, TaskFailedError, Waits
from celeriac.enqueue import batches
from celeriac.enqueue.send import send
from celeriac.execute.off_loop import off_loop
from celeriac.flow import steps as items
from celeriac.flow.steps import Step
from celeriac.leases.status import Status
from celeriac.model.errors import CeleriacError
from celeriac.model.following import MOST_STEPS, OfChain


class ChainError(CeleriacError, TypeError):
    """Steps that can't be chained; the text names the step and the cure."""


class ChainStatus(Struct, frozen=True):
    """How far a chain is."""

    state: str
    """The state of the step that it has come to, see `Status.state`; `waiting` if that one isn't sent yet; `succeeded`
    once the last step has succeeded."""
    step: int
    """The number of that step, from 0 on."""
    steps: int
    """How many there are."""
    of_step: Status | None = None
    """What is known of that step; None if it isn't sent yet."""


class ChainHandle[R]:
    """A chain that was enqueued. `R` is the type of its last step's result."""

    def __init__(self, chain_id: str, steps: Sequence[Handle[Any]]) -> None:
        self.id = chain_id
        self.steps = tuple(steps)
        """The handles of the steps. What isn't sent yet is `unknown`."""

    def status(self) -> ChainStatus:
        """How far the chain is. A read or two for each step that isn't known yet. Raises AWS's errors."""
        last, number = len(self.steps) - 1, 0
        while True:
            status = self.steps[number].status()
            if status.state == "unknown" and self.steps[number].is_at_least_once:
                ahead = self._begun_behind(number)  # nothing is stored of its success
                if ahead is not None:
                    number = ahead
                    continue
            if status.state != "succeeded":
                is_sent = status.state != "unknown" or number == 0
                return ChainStatus(
                    status.state if is_sent else "waiting", number, last + 1, status if is_sent else None
                )
            if number == last:
                return ChainStatus("succeeded", number, last + 1, status)
            number += 1

    def _begun_behind(self, number: int) -> int | None:
        """The first step behind one of which something is known; None if there is none."""
        behind = range(number + 1, len(self.steps))
        return next((later for later in behind if self.steps[later].status().state != "unknown"), None)

    async def astatus(self) -> ChainStatus:
        """Like `status`, for async code."""
        return await off_loop(self.status)

    def result(self, timeout: timedelta | float = timedelta(seconds=30)) -> R:
        """Wait for the last step, and return its result.

        Raises TaskFailedError if a step is a dead letter, or was cancelled; TimeoutError; and what `Handle.result`
        raises for the last step.
        """
        waits = Waits(timeout)
        while (status := self._looked_at()).state != "succeeded":
            pause.wait(waits.after(f"the chain is {status.state} at step {status.step}"))
        result: R = self.steps[-1].result(timeout=0)
        return result

    def _looked_at(self) -> ChainStatus:
        status = self.status()
        failure = status.of_step.failure if status.of_step is not None else None
        if status.state == "cancelled":
            raise TaskCancelled(self.steps[status.step].task, failure)
        if status.state == "dead":
            raise TaskFailedError(self.steps[status.step].task, failure)
        return status

    async def aresult(self, timeout: timedelta | float = timedelta(seconds=30)) -> R:  # noqa: ASYNC109 - as its twin
        """Like `result`, for async code: it waits in a thread."""
        return await off_loop(self.result, timeout)

    def __repr__(self) -> str:
        return f"<chain of {len(self.steps)} steps, {self.id}>"


class Chain[R]:
    """Steps that are checked, and not sent yet. Each `enqueue` makes another chain of them."""

    def __init__(self, steps: Sequence[Bound[Any]]) -> None:
        _check(steps)
        self._steps = tuple(steps)

    def enqueue(self) -> ChainHandle[R]:
        """Store the later steps, then send the first one. When this returns, AWS has all of them.

        Raises what `task.enqueue` raises, TransactionError in an open transaction and after the commit, and AWS's
        errors: then nothing runs.
        """
        batches.check_may_begin("a chain")
        chain_id = os.urandom(16).hex()
        made = [self._made(chain_id, number) for number in range(len(self._steps))]
        later = [
            Step(parcel.queue.name, number, stored(parcel, has_gaps=bool(bound.results)), bound.results)
            for number, (bound, (parcel, _)) in enumerate(zip(self._steps, made, strict=True))
            if number
        ]
        if later:
            items.store(chain_id, later)
        send(made[0][0])
        return ChainHandle(chain_id, [handle for _, handle in made])

    async def aenqueue(self) -> ChainHandle[R]:
        """Like `enqueue`, for async code."""
        return await off_loop(self.enqueue)

    def _made(self, chain_id: str, number: int) -> Any:
        bound = self._steps[number]
        follower = self._steps[number + 1] if number + 1 < len(self._steps) else None
        its = OfChain(
            chain_id,
            number,
            follower.task.queue.name if follower is not None else "",
            bool(follower.results) if follower is not None else False,
        )
        parcel, handle = bound.task.composed(
            bound.arguments, derived(chain_id, number), chain=its, has_gaps=bool(bound.results)
        )
        # Of a later step nobody knows when it is due.
        return parcel, handle if number == 0 else bound.task.handle_of(handle.id, handle.key)

    def __repr__(self) -> str:
        return f"<chain of {', '.join(step.task.name for step in self._steps)}>"


@overload
def chain[R](*steps: *tuple[*tuple[Bound[Any], ...], Bound[R]]) -> Chain[R]: ...


@overload
def chain[R](*steps: Bound[R]) -> Chain[R]: ...  # of a list: which of its items is the last isn't known to its type


def chain(*steps: Bound[Any]) -> Chain[Any]:  # type: ignore[misc]  # mypy thinks that it takes less than the first
    """Tasks that run one after another: `chain(fetch.bind(url=u), parse.bind(page=RESULT)).enqueue()`.

    A step is sent when the one before it has succeeded. An argument that is RESULT is the result of that one, as it was
    recorded: the same in each attempt. A step that becomes a dead letter ends the chain until it is redriven.

    Raises ChainError for steps that can't be chained: RESULT in the first step, a result whose annotation doesn't fit
    the parameter, a `Unique` or debounced task, more than 26 steps.
    """
    return Chain(steps)


def _check(steps: Sequence[Any]) -> None:
    if not 1 <= len(steps) <= MOST_STEPS:
        raise ChainError(
            f"a chain has 1 to {MOST_STEPS} steps, not {len(steps)}: enqueue another one from its last step"
        )
    for number, step in enumerate(steps):
        if not isinstance(step, Bound):
            raise ChainError(f"step {number} is {type(step).__name__}: write task.bind(...)")
        task = step.task
        where = f"step {number}, {task.name!r}"
        if task.unique is not None or task.debounce is not None:
            raise ChainError(
                f"{where} is {'unique' if task.unique else 'debounced'}: where it is skipped, the chain would end. "
                "Give the task a key= instead"
            )
        if step.results and not number:
            raise ChainError(f"{where}: RESULT is the result of the step before, and the first step has none")
        if number and task.has_time:
            raise ChainError(
                f"{where}: options(at=...) or a time in expires= says when, and nobody knows when the chain comes to "
                "it: write a delay, or expires=timedelta(...)"
            )
        if task.key in step.results and not task.has_own_key:
            raise ChainError(
                f"{where}: its key is {task.key!r}, which is RESULT, so its key isn't known yet: give it "
                "options(key=...)"
            )
        if number:
            before = steps[number - 1].task
            leaving.check(before.queue, task.queue, f"{where} is")
            returns = before.signature.returns
            if returns is type(None) and before.signature.takes_context:
                continue  # its transaction may name a result
            for name in step.results:
                problem = fitting.problem(returns, task.signature.types[name])
                if problem:
                    raise ChainError(f"{where}: `{name}` is the result of {before.name!r}, and {problem}")
