"""What `celeriac schema --check` calls breaking: a table of changes of one argument, and of declarations."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import pytest
from msgspec import Meta, Struct, defstruct
from pydantic import BaseModel, create_model

from celeriac import Event, Queue, Task
from celeriac.declare.task import Task as Made
from celeriac.model.retry import Backoff
from celeriac_console.schema.changes import Change, changes
from celeriac_console.schema.document import of_event, of_task

payments, ledger = Queue("payments"), Queue("ledger")


class Two(Enum):
    A = "a"
    B = "b"


class Three(Enum):
    A = "a"
    B = "b"
    C = "c"


def struct(**fields: Any) -> type[Struct]:
    return defstruct("Address", list(fields.items()), kw_only=True)


def closed(**fields: Any) -> type[Struct]:
    return defstruct("Address", list(fields.items()), forbid_unknown_fields=True)


class Tree(Struct):
    children: list["Tree"] = []
    value: int = 0


class TreeOfTexts(Struct):
    children: list["TreeOfTexts"] = []
    value: str = ""


class Total(TypedDict, total=True):
    a: int


class Partial(TypedDict, total=False):
    a: int


COMPATIBLE: list[tuple[Any, Any]] = [
    (int, int), (int, float), (int, int | str), (int, int | None), (int, Any), (int, Decimal), (float, Decimal),
    (date, str), (UUID, str), (bytes, str), (Decimal, str | float), (Literal["a"], Literal["a", "b"]),
    (Literal["a"], str), (Literal[1], float), (Two, Three), (Two, str), (Two, Literal["a", "b", "c"]),
    (Annotated[int, Meta(ge=5)], Annotated[int, Meta(ge=1)]), (Annotated[int, Meta(ge=5)], int),
    (Annotated[str, Meta(max_length=5)], Annotated[str, Meta(max_length=9)]), (list[int], list[float]),
    (list[int], list), (tuple[int, int], list[int]), (set[int], list[int]), (dict[str, int], dict[str, float]),
    (dict[int, int], dict[str, int]), (struct(a=int), struct(a=float)), (struct(a=int, b=int), struct(a=int)),
    (closed(a=int), dict[str, int]), (struct(a=int), dict), (Total, Partial), (Tree, Tree), (bool, bool | None),
    (int | None, int | str | None), (Annotated[str, Meta(pattern="^a")], Annotated[str, Meta(pattern="^a")]),
]  # fmt: skip

BREAKING: list[tuple[Any, Any, str]] = [
    (int, str, "`x` took integer, and takes only string"),
    (int, bool, "takes only boolean"),
    (float, int, "`x` took number, and takes only integer"),
    (int | None, int, "`x` took null, and takes only integer"),
    (int | str, int, "`x` took string, and takes only integer"),
    (Any, int, "`x` took any value, and takes only integer"),
    (str, date, "`x` took string, and takes only date"),
    (date, Annotated[datetime, Meta(tz=True)], "`x` took date, and takes only date-time"),
    (str, Decimal, "`x` took string, and takes only decimal"),
    (str, bytes, "`x` took string, and takes only base64"),
    (str, Literal["a"], "`x` took string, and takes only 'a'"),
    (Literal["a", "b"], Literal["a"], "`x` no longer takes 'b'"),
    (Three, Two, "`x` no longer takes 'c'"),
    (Literal[1, "a"], str, "`x` no longer takes 1"),
    (int, Annotated[int, Meta(ge=1)], "`x` has the minimum 1 now"),
    (Annotated[int, Meta(le=9)], Annotated[int, Meta(le=5)], "`x` has the maximum 5 now, it was 9"),
    (str, Annotated[str, Meta(min_length=1)], "`x` has the minLength 1 now"),
    (str, Annotated[str, Meta(pattern="^a")], "`x` must now match ^a"),
    (int, Annotated[int, Meta(multiple_of=2)], "`x` must now be a multiple of 2"),
    (Literal["abc"], Annotated[str, Meta(max_length=2)], "`x` no longer takes 'abc'"),
    (list[float], list[int], "`x[]` took number, and takes only integer"),
    (list[int], tuple[int, int], "`x` has the minItems 2 now"),
    (tuple[int, str], tuple[int, int], "`x[1]` took string, and takes only integer"),
    (dict[str, float], dict[str, int], "`x.*` took number, and takes only integer"),
    (dict[str, int], dict[int, int], "`x` has other keys"),
    (struct(a=int), struct(a=str), "`x.a` took integer, and takes only string"),
    (struct(a=int), struct(a=int, b=int), "`x.b` is new and has no default"),
    (Partial, Total, "`x.a` has no default any more"),
    (closed(a=int, b=int), closed(a=int), "`x.b` was removed"),
    (struct(a=int), closed(a=int), "`x` refuses fields that it doesn't know now"),
    (struct(a=int) | None, struct(a=str) | None, "`x.a` took integer, and takes only string"),
    (Tree, TreeOfTexts, "`x.value` took integer, and takes only string"),
    (create_model("M", a=(int, ...)), create_model("M", a=(str, ...)), "`x.a` took integer, and takes only string"),
]


@pytest.mark.parametrize(("before", "now"), COMPATIBLE, ids=str)
def test_a_wider_type_is_compatible(before: Any, now: Any) -> None:
    assert [change for change in _of_argument(before, now) if change.breaks] == []


@pytest.mark.parametrize(("before", "now", "what"), BREAKING, ids=str)
def test_a_narrower_or_other_type_breaks(before: Any, now: Any, what: str) -> None:
    change, *more = _of_argument(before, now)
    assert change.breaks
    assert all(other.breaks for other in more)
    assert change.text.startswith(f"task pay: {what}" if what[0] == "`" else "task pay: ")
    assert what in change.text
    assert change.text.endswith("Take both until they have run") or "default" in what or "removed" in what


def _of_argument(before: Any, now: Any) -> list[Change]:
    def old(x: Any) -> None: ...

    def new(x: Any) -> None: ...

    old.__annotations__["x"], new.__annotations__["x"] = before, now
    return _compared(_task(old), _task(new))


def _task(function: Callable[..., Any], queue: Queue = payments, **declared: Any) -> Task[..., Any, Any]:
    usual: dict[str, Any] = {"key": None, "delivery": "effectively_once", "policy": Backoff(), "timeout": None}
    more: dict[str, Any] = {"on": None, "cron": None, "timezone": "UTC"}
    return Made(function, queue, name="pay", **(usual | more | declared))


def _compared(old: Task[..., Any, Any] | None, new: Task[..., Any, Any] | None) -> list[Change]:
    documents = [{"tasks": {each.name: of_task(each)} if each is not None else {}} for each in (old, new)]
    return changes(*documents)


def _one(a: int, b: int = 5) -> None: ...


def _without_b(a: int) -> None: ...


def _b_needed(a: int, b: int) -> None: ...


def _with_c(a: int, b: int = 5, c: int = 5) -> None: ...


def _c_needed(a: int, c: int, b: int = 5) -> None: ...


def _a_optional(a: int = 1, b: int = 5) -> None: ...


def _other_default(a: int, b: int = 6) -> None: ...


@pytest.mark.parametrize(
    ("new", "breaks", "text"),
    [
        (_without_b, True, "task pay: `b` was removed: messages that wait have it. Keep the parameter until"),
        (_b_needed, True, "task pay: `b` has no default any more: messages that wait don't have it. Give it a default"),
        (_c_needed, True, "task pay: `c` is new and has no default: messages that wait don't have it"),
        (_with_c, False, "task pay: `c` is new, with a default"),
        (_a_optional, False, "task pay: `a` has a default now"),
    ],
)
def test_arguments_that_come_and_go(new: Callable[..., Any], text: str, *, breaks: bool) -> None:
    (change,) = _compared(_task(_one), _task(new))
    assert change.breaks is breaks
    assert change.text.startswith(text)


def test_another_default_or_nothing_is_no_change_of_the_payload() -> None:
    assert _compared(_task(_one), _task(_other_default)) == []
    assert _compared(_task(_one), _task(_one)) == []


@pytest.mark.parametrize(
    ("old", "new", "breaks", "text"),
    [
        (_task(_one), None, True, "task pay was removed: its messages that wait become dead letters"),
        (None, _task(_one), False, "task pay is new"),
        (_task(_one, key="a"), _task(_one, key="b"), True, "task pay: its key was a and is b"),
        (_task(_one), _task(_one, key="b"), True, "task pay: its key was nothing and is b"),
        (_task(_one), _task(_one, ledger), True, "task pay: its queue was payments and is ledger: its messages that"),
        (_task(_one), _task(_one, ledger, former_queues=[payments]), False, "task pay: its queue was payments and is"),
        (_task(_one, ledger, former_queues=[payments]), _task(_one, ledger), False, "task pay: it no longer runs from"),
        (_task(_one, on="a"), _task(_one, on="b"), False, "task pay: it subscribed to a and subscribes to b"),
    ],
)
def test_declarations(
    old: Task[..., Any, Any] | None, new: Task[..., Any, Any] | None, text: str, *, breaks: bool
) -> None:
    (change,) = _compared(old, new)
    assert change.breaks is breaks
    assert change.text.startswith(text)


class Made1(Struct):
    number: int
    text: str | None


class WithMore(Struct):
    number: int
    text: str | None
    more: str = ""


class WithLess(Struct):
    number: int


class Other(Struct):
    number: str
    text: str | None


class Narrower(Struct):
    number: int
    text: str


class MayLack(BaseModel):
    number: int
    text: str | None = None


class Lacks(Struct, omit_defaults=True):
    number: int
    text: str | None = None


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (Made1, []),
        (Narrower, []),
        (WithMore, [(False, "event made: `more` is new")]),
        (WithLess, [(True, "event made: `text` was removed: its subscribers may need it")]),
        (Other, [(True, "event made: `number` was integer and is string: subscribers of the older")]),
        (MayLack, []),  # pydantic writes the field always
        (Lacks, [(True, "event made: `text` may be missing now: its subscribers may need it")]),
        (None, [(True, "event made was removed: its subscribers get no more of it")]),
    ],
)
def test_events_are_compared_for_those_who_read_them(new: Any, expected: list[tuple[bool, str]]) -> None:
    old = {"events": {"made": of_event(Event("made", Made1), [])}}
    found = changes(old, {"events": {"made": of_event(Event("made", new), [])} if new is not None else {}})
    assert [change.breaks for change in found] == [breaks for breaks, _ in expected]
    for change, (_, text) in zip(found, expected, strict=True):
        assert change.text.startswith(text)


def test_a_new_event_is_compatible() -> None:
    assert changes({}, {"events": {"made": of_event(Event("made", Made1), [])}}) == [
        Change(breaks=False, text="event made is new")
    ]
