"""Which hooks run: those that `hooks.py` in the application's package lists."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from celeriac.hooks.hook import Hooks
from celeriac.model import declared
from celeriac.model.errors import DeclarationError


class Registered(Struct, frozen=True):
    """The hooks by method, in the order in which they are called; only those that override the method."""

    before_enqueue: tuple[Hooks, ...] = ()
    around_task: tuple[Hooks, ...] = ()
    after_outcome: tuple[Hooks, ...] = ()
    on_dead_letter: tuple[Hooks, ...] = ()

    @property
    def run_in_workers(self) -> bool:
        """Whether any hook runs in a worker."""
        return bool(self.around_task or self.after_outcome or self.on_dead_letter)


NONE = Registered()

_by_application: dict[str, Registered] = {}
_instead: Registered | None = None


class HooksError(DeclarationError):
    """`tasks/hooks.py` lists something that is no hook."""


def of_application(task_module: str = "") -> Registered:
    """Return the hooks of the current application; for a task of another one that this process has loaded, that one's.

    task_module: where the task is declared.

    Never raises for a task. If `hooks.py` is broken, that is logged once, and there are no hooks: a worker's tasks
    still run, and a producer still sends. Synth, tests and `check` find it before.
    """
    if _instead is not None:
        return _instead
    home = task_module.partition(".")[0]
    try:
        name = declared.package()
    except Exception:
        # The current folder is gone, or its celeriac.toml can't be read. A task is declared somewhere, all the same.
        if not home:
            raise
        name = home
    if home and home != name and f"{home}.queues" in sys.modules:
        name = home
    found = _by_application.get(name)
    if found is None:
        try:
            found = _read(name)
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            from celeriac.hooks import broken  # noqa: PLC0415 - most processes have no use for it

            broken.report(f"{name}.hooks", "import", error)
            found = NONE
        _by_application[name] = found
    return found


def check() -> None:
    """Raise HooksError, or what the module raises, if the application's `hooks.py` can't be used."""
    _read(declared.package())


@contextmanager
def using(hooks: Sequence[Hooks]) -> Iterator[None]:
    """Run these hooks instead of the application's, until the block ends. For tests."""
    global _instead  # noqa: PLW0603 - a process has one set
    before, _instead = _instead, _sorted("these", hooks)
    try:
        yield
    finally:
        _instead = before


def _read(name: str) -> Registered:
    return _sorted(f"{name}.hooks", declared.hooks(name))


def _sorted(where: str, listed: object) -> Registered:
    if not isinstance(listed, list | tuple):
        raise HooksError(f"{where}: `hooks` is a {type(listed).__name__}: write a list of hooks")
    for hook in listed:
        if isinstance(hook, type) and issubclass(hook, Hooks):
            raise HooksError(f"{where}: `hooks` lists the class {hook.__name__}: write {hook.__name__}()")
        if not isinstance(hook, Hooks):
            raise HooksError(f"{where}: `hooks` lists a {type(hook).__name__}: a hook extends celeriac.Hooks")

    def overriding(method: str) -> tuple[Hooks, ...]:
        return tuple(hook for hook in listed if getattr(type(hook), method) is not getattr(Hooks, method))

    return Registered(
        overriding("before_enqueue"),
        overriding("around_task"),
        overriding("after_outcome")[::-1],
        overriding("on_dead_letter")[::-1],
    )
