"""`celeriac schema`, as people type it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from msgspec import Struct
from typer.testing import CliRunner, Result

from celeriac import Event, Queue, task
from celeriac.declare import registry
from celeriac.testing.scope import of_this_test
from celeriac_console.main import app

shop = Queue("schema-shop")
ledger = Queue("schema-ledger", fifo=True)
ASYNCAPI = Path(__file__).parent / "asyncapi" / "3.0.0.json"


class Line(Struct):
    text: str
    inner: "Line | None" = None


class Created(Struct):
    order: str
    lines: list[Line]


OrderCreated = Event("schema.created", Created)


@pytest.fixture(autouse=True)
def _tasks() -> Any:
    with registry.only(of_this_test):

        @task(shop, key="order")
        def charge(order: str, lines: list[Line], cents: int = 5) -> None:
            """Charge somebody."""

        @task(ledger, name="book/it ~now", on=OrderCreated)
        def book(order: str, lines: list[Line]) -> None: ...

        yield


def _run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", "schema", *arguments], input=given, env={"COLUMNS": "500"})


def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run().output)
    return found


def test_the_document_has_every_task_and_event() -> None:
    found = _document()
    assert found["celeriac"] == 1
    assert found["tasks"].keys() >= {"book/it ~now", "charge"}
    assert found["events"]["schema.created"]["x-celeriac"] == {"subscribers": ["book/it ~now"]}


def test_one_task_or_event_is_shown_by_its_name() -> None:
    assert json.loads(_run("charge").output)["properties"]["task"] == {"const": "charge"}
    assert json.loads(_run("schema.created").output)["required"] == ["order", "lines"]
    unknown = _run("chrage")
    assert unknown.exit_code == 2
    assert "named 'chrage'" in unknown.output


def test_nothing_has_changed_since_the_document_was_written(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(_run().output)
    checked = _run("--check", str(file))
    assert (checked.exit_code, checked.output) == (0, "ok       nothing has changed\n")


def test_a_breaking_change_has_a_line_and_exit_code_1() -> None:
    old = _document()
    old["tasks"]["charge"]["properties"]["args"]["properties"]["gone"] = {"type": "string"}
    del old["tasks"]["charge"]["properties"]["args"]["properties"]["cents"]
    checked = _run("--check", "-", given=json.dumps(old))
    assert checked.exit_code == 1
    breaking, compatible = checked.output.splitlines()
    assert breaking.startswith("BREAKING task charge: `gone` was removed: ")
    assert compatible == "ok       task charge: `cents` is new, with a default"
    as_json = _run("--check", "-", "--json", given=json.dumps(old))
    assert as_json.exit_code == 1
    assert [len(lines) for lines in json.loads(as_json.output).values()] == [1, 1]


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "is no JSON"), ("{}", "isn't the whole output"), ("[]", "isn't the whole output"), (None, "can't be read")],
)
def test_a_file_that_is_no_document_is_refused_with_the_cure(tmp_path: Path, text: str | None, why: str) -> None:
    file = tmp_path / "schema.json"
    if text is not None:
        file.write_text(text)
    checked = _run("--check", str(file))
    assert checked.exit_code == 2
    assert why in checked.output
    assert "celeriac schema > schema.json" in checked.output


def test_standard_input_is_named_and_may_not_be_empty() -> None:
    assert "standard input was empty" in _run("--check", "-", given="\n").output
    assert "standard input is no JSON" in _run("--check", "-", given="{").output


def test_a_name_and_a_check_are_too_much() -> None:
    assert "give one of" in _run("charge", "--asyncapi").output


def test_the_asyncapi_document_is_one() -> None:
    validator = Draft7Validator(json.loads(ASYNCAPI.read_text()))
    found = json.loads(_run("--asyncapi").output)
    assert [error.message for error in validator.iter_errors(found)] == []
    assert list(validator.iter_errors(found | {"asyncapi": "2.6.0"})) != []
    wrong = json.loads(json.dumps(found))
    wrong["channels"]["queue.schema-shop"]["bindings"]["sqs"]["queue"].pop("name")
    assert list(validator.iter_errors(wrong)) != []


def test_the_asyncapi_document_describes_queues_tasks_and_events() -> None:
    found = json.loads(_run("--asyncapi").output)
    channel = found["channels"]["queue.schema-ledger"]
    assert channel["address"] == "celeriac-test--schema-ledger.fifo"
    binding = channel["bindings"]["sqs"]
    assert (binding["queue"]["fifoQueue"], binding["deadLetterQueue"]["fifoQueue"]) == (True, True)
    assert found["operations"]["run.charge"]["action"] == "receive"
    assert found["operations"]["emit.schema.created"]["action"] == "send"


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    found = json.loads(_run("--asyncapi").output)
    references = list(_references(found))
    assert len(references) > 10
    for reference in references:
        part = found
        for step in reference.removeprefix("#/").split("/"):
            part = part[step.replace("~1", "/").replace("~0", "~")]
        assert part


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
