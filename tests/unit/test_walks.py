"""The walks of docs/explanation/architecture.md list the library's files in the order in which a run calls them."""

import inspect
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType

import pytest

import celeriac
from celeriac import Backoff, Context, Queue, task
from celeriac.testing import Sandbox

PAGE = Path(__file__).parents[2] / "docs/explanation/architecture.md"
FUNCTIONS = Path(celeriac.__file__).parents[1]
# What the page leaves out by its rule: plain data, names, conversions, clients, repeated calls, logs, metrics, traces.
LEFT_OUT = {
    "celeriac/__init__.py",
    "celeriac/aws/attributes.py",
    "celeriac/aws/client.py",
    "celeriac/aws/items.py",
    "celeriac/aws/stored_values.py",
    "celeriac/aws/wire.py",
    "celeriac/consume/insist.py",
    "celeriac/consume/facts.py",
    "celeriac/consume/report.py",
    "celeriac/declare/probe.py",
    "celeriac/hooks/broken.py",
    "celeriac/leases/history.py",
    "celeriac/leases/states.py",
    "celeriac/leases/status.py",
    "celeriac/model/canonical.py",
    "celeriac/model/continuing.py",
    "celeriac/model/declared.py",
    "celeriac/model/errors.py",
    "celeriac/model/failure.py",
    "celeriac/model/foreign_events.py",
    "celeriac/execute/off_loop.py",
    "celeriac/model/forks.py",
    "celeriac/model/given.py",
    "celeriac/model/guarantee.py",
    "celeriac/model/headers.py",
    "celeriac/model/names.py",
    "celeriac/model/payload.py",
    "celeriac/model/queue.py",
    "celeriac/model/reason.py",
    "celeriac/model/settings.py",
    "celeriac/model/table.py",
    "celeriac/observe/log.py",
    "celeriac/observe/metric_names.py",
    "celeriac/observe/metrics.py",
    "celeriac/observe/printed.py",
    "celeriac/observe/text.py",
    "celeriac/observe/trace.py",
    "celeriac/worker/event.py",
}
# msgspec makes their objects without a call of Python code, so the profile doesn't see them.
UNSEEN = {
    "celeriac/consume/outcome.py",
    "celeriac/declare/context.py",
    "celeriac/declare/handle.py",
    "celeriac/execute/call.py",
}
HANDLERS = {"celeriac/consume/handler.py", "celeriac/relay/handler.py"}
TOO_LARGE_FOR_SQS = 300_000

walked = Queue("walked")


@task(walked, key="order")
def place(ctx: Context, order: str) -> str:
    return order


@task(walked, key="order", retry=Backoff(attempts=1))
async def fail(ctx: Context, order: str, items: str) -> None:
    raise RuntimeError(order)


@task(walked, on="walk.made")
def follow(ctx: Context, order: str) -> None: ...


def test_the_first_walk_is_that_of_a_task_that_succeeds(sandbox: Sandbox) -> None:
    with calls() as called:
        place.enqueue(order="o-1")
        sandbox.drain()

    compare(*listed("The first walk"), called)


def test_the_first_walk_is_that_of_a_large_async_task_that_fails(sandbox: Sandbox) -> None:
    with calls() as called:
        fail.enqueue(order="o-1", items="x" * TOO_LARGE_FOR_SQS)
        sandbox.drain()

    # Large arguments are read under the time limit too, by an earlier call.
    every, always = listed("The first walk")
    early = {"celeriac/observe/running.py"}
    kept = [[file for file in some if file not in early] for some in (every, called)]
    compare(kept[0], always - early, kept[1])
    assert {"celeriac/aws/payloads.py", "celeriac/execute/loop.py", "celeriac/consume/decide.py"} <= set(called)


def test_the_second_walk_is_that_of_an_event(sandbox: Sandbox) -> None:
    with calls() as called:
        with celeriac.transaction() as tx:
            tx.emit("walk.made", {"order": "o-1"}, aggregate="o-1")
        sandbox.drain()

    every, always = listed("The second walk")
    compare(every, always, called, until="celeriac/consume/handler.py")


def listed(walk: str) -> tuple[list[str], set[str]]:
    """The files of a walk, and those of them that every run calls. The entry points only import the others."""
    text = PAGE.read_text().partition(f"\n{walk} follows")[2].partition("\n## ")[0]
    block = text.split("```")[1]
    rows = re.findall(r"^ *\d+  (celeriac/\S+) +(\S+)", block, flags=re.MULTILINE)
    rows = [row for row in rows if not row[0].startswith("celeriac/entry/")]
    return [file for file, _ in rows], {file for file, first_word in rows if first_word != "only"}


def compare(every: list[str], always: set[str], called: list[str], until: str = "") -> None:
    """Fail if the walk is another one. The message says what to edit. From `until` on, the walk may skip files."""
    edit = f"Edit the walk in {PAGE.name}"
    part = called[: called.index(until)] if until else called
    every = [file for file in every if file in always or file in part]
    for before, file in pairwise(["nothing", *part]):
        assert file in every or file in LEFT_OUT or (until and file == "celeriac/model/message.py"), (
            f"{file} is first called after {before}. {edit}: add a line there. Or add it to LEFT_OUT in "
            f"{Path(__file__).name}, if it is plain data, a name, a conversion, a client, a log, a metric or a trace"
        )
    gone = sorted(always - UNSEEN - set(called))
    assert not gone, f"{edit}: this run doesn't call {gone}. Remove their lines, or begin what they say with `only`"
    assert [file for file in every if file in called] == [file for file in called if file in every], (
        f"{edit}: put its lines into the order on the right, in which the files are first called"
    )


@contextmanager
def calls() -> Iterator[list[str]]:
    """The library's files in the order in which their functions are first called, in all threads.

    Calls that the test kit makes as AWS, such as a look for the declared queues, are left out.
    """
    called: dict[str, None] = {}
    home = f"{FUNCTIONS}/"

    def is_the_test_kits(frame: FrameType | None) -> bool:
        while frame is not None:
            path = frame.f_code.co_filename.removeprefix(home)
            if path in HANDLERS:
                return False
            if path.startswith("celeriac/testing/"):
                return True
            frame = frame.f_back
        return False

    def profile(frame: FrameType, event: str, _: object) -> None:
        # A body of a module or a class runs when it is imported. The walks are about calls.
        if event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            return
        path = frame.f_code.co_filename
        if path == "<string>" and "self" in frame.f_locals:  # a method that dataclasses has written
            path = getattr(sys.modules.get(type(frame.f_locals["self"]).__module__), "__file__", None) or ""
        if (
            path.startswith(f"{home}celeriac/")
            and path.removeprefix(home) not in called
            and not is_the_test_kits(frame)
        ):
            called.setdefault(path.removeprefix(home))

    files: list[str] = []
    threading.setprofile_all_threads(profile)
    try:
        yield files
    finally:
        threading.setprofile_all_threads(None)
        files += called


def test_a_walk_in_another_order_is_noticed() -> None:
    for every, called in ((["a", "b"], ["b", "a"]), (["a"], ["a", "b"]), (["a", "b"], ["a"])):
        with pytest.raises(AssertionError, match="Edit the walk"):
            compare(every, set(every), called)
