"""A letter's arguments in a form, whatever they are, and whatever the task has become since they were sent."""

import base64
import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from celeriac import Queue, Reject, task
from celeriac.testing import Sandbox
from tests.web.conftest import Opens, Page

shelf = Queue("shelf")
came: list[dict[str, Any]] = []
URL = "/dead-letters/shelf"


class Colour(Enum):
    RED = "red"
    BLUE = "b"


class Line(msgspec.Struct):
    sku: str
    price: Decimal


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    size: int


@dataclass
class Address:
    city: str
    lines: list[Line]


@task(shelf)
def page_fills(
    *,
    address: Address,
    tags: list[str],
    amount: Decimal,
    when: datetime,
    day: date,
    colour: Colour,
    either: int | str,
    blob: bytes,
    note: str | None,
    text: str,
    strict: Strict,
    number: int,
    rest: int = 3,
) -> None:
    """Take 7 only."""
    came.append(locals())
    if number != 7:
        raise Reject("not seven")


@task(shelf)
def page_rests() -> None:
    raise Reject("tired")


@task(shelf)
def page_takes_all(value: Any) -> None:
    came.append({"value": value})
    raise Reject("all")


ARGUMENTS: dict[str, Any] = {
    "address": {"city": "Bern", "lines": [{"sku": "</textarea><script>", "price": "1.10"}]},
    "tags": ["x", "y"],
    "amount": "2.50",
    "when": "2026-01-01T00:00:00Z",
    "day": "2026-01-02",
    "colour": "b",
    "either": "a",
    "blob": base64.b64encode(b"\x00\x01").decode(),
    "note": None,
    "text": "ü\n" * 50_000,
    "strict": {"size": 1},
    "number": 1,
}


class Form(HTMLParser):
    """The fields of a page's form for arguments, as a browser sends them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self._area = self._select = ""
        self.feed(html.partition('class="form">')[2].partition("</form>")[0])
        for name, text in self.fields.items():  # the new line after <textarea> is none of the text
            is_area = name.startswith("arg.") and text.startswith("\n")
            self.fields[name] = (text[1:] if is_area else text).replace("\n", "\r\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "input" and (found.get("type") != "checkbox" or "checked" in found):
            self.fields[found["name"]] = found.get("value", "")
        if tag == "textarea":
            self._area = found["name"]
            self.fields[self._area] = ""
        if tag == "select":
            self._select = found["name"]
        if tag == "option" and ("selected" in found or self._select not in self.fields):
            self.fields[self._select] = found["value"]

    def handle_endtag(self, tag: str) -> None:
        self._area = "" if tag == "textarea" else self._area

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data


@pytest.fixture(autouse=True)
def _empty() -> None:
    came.clear()


def _died(opened: Opens, sandbox: Sandbox, body: object) -> tuple[Page, str]:
    """The page, and the letter of a message."""
    sandbox.send(shelf, body if isinstance(body, str) else json.dumps(body))
    sandbox.drain()
    page = opened().enter()
    [group] = page.json(URL)["groups"]
    [letter] = page.json(URL, kind=group["kind"])["letters"]
    return page, f"{URL}/letter/{letter['message_id']}"


def _message(args: object, task: str = "page_fills", version: int = 1) -> dict[str, object]:
    return {"task": task, "id": "the-id", "args": args, "v": version}


def _fields(data: Any) -> dict[str, Any]:
    return {field["name"]: field for field in data["fields"]}


def test_what_isnt_changed_comes_as_it_was(opened: Opens, sandbox: Sandbox) -> None:
    page, url = _died(opened, sandbox, _message(ARGUMENTS))
    html = page.html(url, arguments="show")
    assert "<script>" not in html.partition("<main")[2]
    assert "doesn't take these arguments" not in html
    form = Form(html).fields
    page.act(f"{url}/redrive", **(form | {"arg.number": "7"}))
    sandbox.drain()
    assert sandbox.dead_letters(shelf) == []
    first, second = came
    assert second == first | {"number": 7}
    [line] = page.json("/activity")["lines"]
    assert line["where"]["arguments"] == "changed"


def test_a_field_that_was_removed_is_shown_and_a_new_one_is_asked_for(opened: Opens, sandbox: Sandbox) -> None:
    old = {name: value for name, value in ARGUMENTS.items() if name != "number"} | {"gone": {"kept": "by hand"}}
    page, url = _died(opened, sandbox, _message(old))
    assert "Unchanged, the letter would die again. Show them to see which" in page.html(url)
    assert "by hand" not in page.html(url) + json.dumps(page.json(url))
    html = page.html(url, arguments="show")
    assert "The task has no parameter gone" in html
    assert "by hand" in html
    fields = _fields(page.json(url, arguments="show"))
    assert {name: field["error"] for name, field in fields.items() if field["error"]} == {
        "number": "It is needed: give it a value."
    }
    form = Form(html).fields
    refused = page.act(f"{url}/redrive", status=422, **form)
    assert "Nothing was sent" in refused
    assert len(sandbox.dead_letters(shelf)) == 1
    page.act(f"{url}/redrive", **(form | {"arg.number": "7"}))
    sandbox.drain()
    assert sandbox.dead_letters(shelf) == []
    assert came[0]["number"] == 7


WRONG = {
    "address": ({"city": 1, "lines": "x"}, "city"),
    "strict": ({"size": 1, "gone": 2}, "gone"),
    "tags": ("x", "Expected `array`"),
    "amount": ("much", "decimal"),
    "when": ("soon", "datetime"),
    "day": (5, "date"),
    "colour": ("green", "enum"),
    "either": ([1], "int | str"),
    "blob": ("***", "base64"),
    "note": (5, "Expected `str | null`"),
    "text": (None, "Expected `str`"),
}


def test_what_doesnt_fit_is_shown_as_json_with_the_tasks_own_reason(opened: Opens, sandbox: Sandbox) -> None:
    page, url = _died(opened, sandbox, _message(ARGUMENTS | {name: value for name, (value, _) in WRONG.items()}))
    fields = _fields(page.json(url, arguments="show"))
    for name, (value, why) in WRONG.items():
        assert why in fields[name]["error"], name
        shown = fields[name]["value"]
        assert shown == value or json.loads(shown) == value, name
    form = Form(page.html(url, arguments="show")).fields
    refused = page.act(f"{url}/redrive", status=422, **form)
    assert refused.count('aria-invalid="true"') == len(WRONG)
    # Mended by hand, each in the control that stands there.
    mended = form | {"arg.number": "7"}
    for name in WRONG:
        right = ARGUMENTS[name]
        is_json = form[f"control.{name}"] == "json" or not isinstance(right, str)
        mended[f"arg.{name}"] = json.dumps(right) if is_json else right
    page.act(f"{url}/redrive", **mended)
    sandbox.drain()
    assert sandbox.dead_letters(shelf) == []


@pytest.mark.parametrize("args", [[1], "a text", 5])
def test_arguments_without_names_are_shown_and_the_form_begins_empty(
    opened: Opens, sandbox: Sandbox, args: object
) -> None:
    page, url = _died(opened, sandbox, _message(args))
    html = page.html(url, arguments="show")
    assert "These arguments have no names" in html
    assert "It is needed" in page.act(f"{url}/redrive", status=422, **Form(html).fields)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (_message({"a": {"b": [1]}}, "page_is_gone"), "No task here has this name"),
        (_message({}, version=99), "This release can't read the message"),
        ("<i>no message", ""),
    ],
)
def test_what_nobody_can_change_is_shown_and_stays(opened: Opens, sandbox: Sandbox, body: object, why: str) -> None:
    page, url = _died(opened, sandbox, body)
    html = page.html(url, arguments="show")
    assert why in html.replace("&#39;", "'")
    assert "with these arguments" not in html
    assert "<i>" not in html
    answer = page.browser.post(
        f"{url}/redrive",
        data={"csrf": page.session.token(), "edited": "yes"},
        headers={"origin": str(page.browser.base_url)},
    )
    assert answer.status_code in {400, 422}
    assert len(sandbox.dead_letters(shelf)) == 1


def test_a_task_without_parameters_takes_none(opened: Opens, sandbox: Sandbox) -> None:
    page, url = _died(opened, sandbox, _message({"a": 1}, "page_rests"))
    html = page.html(url, arguments="show")
    assert "The task takes no arguments." in html
    page.act(f"{url}/redrive", **Form(html).fields)
    sandbox.drain()
    [letter] = sandbox.dead_letters(shelf)
    assert letter.args == {}


@pytest.mark.parametrize(
    ("before", "after"), [(1, "true"), (True, "1"), (0, "false"), (1, "1.0"), ([1, 0], "[true, 0]")]
)
def test_what_python_holds_for_equal_is_a_change(opened: Opens, sandbox: Sandbox, before: object, after: str) -> None:
    page, url = _died(opened, sandbox, _message({"value": before}, task="page_takes_all"))
    page.act(f"{url}/redrive", edited="yes", **{"arg.value": after, "control.value": "json"})
    sandbox.drain()
    assert [json.dumps(each["value"]) for each in came] == [json.dumps(before), after]
    [line] = page.json("/activity")["lines"]
    assert line["where"]["arguments"] == "changed"
