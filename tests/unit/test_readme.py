"""The examples of README and quickstart work exactly as they are written."""

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import celeriac
from celeriac import Queue, Table
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import declared
from celeriac.testing import Sandbox
from tests.support.howto import blocks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUICKSTART = ROOT / "docs" / "quickstart.md"
REPORT = (ROOT / "benchmarks" / "report.md").read_text()
QUEUE, TASK, TEST = blocks(QUICKSTART, "python")
(TRANSACTION,) = blocks(ROOT / "docs" / "howto" / "transactions.md", "python")


@pytest.fixture(autouse=True)
def _readers_application(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's application, with the tables that the transaction in the docs writes. Other declarations don't
    count.
    """
    with declared.application("tasks"):
        registry.load()
        tables = ModuleType("tasks.tables")
        vars(tables).update(orders=Table("orders"), payments=Table("payments"))
        monkeypatch.setitem(sys.modules, "tasks.tables", tables)
        declared._tables.cache_clear()
        yield
    declared._tables.cache_clear()


@pytest.fixture
def typed(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    known = dict(registry._by_home)
    queues = import_module("tasks.queues")
    scope: dict[str, Any] = {"Queue": Queue, "timedelta": timedelta}
    exec(QUEUE, scope)  # noqa: S102 - our own quickstart
    assert isinstance(scope["reports"], Queue)
    monkeypatch.setattr(queues, "reports", scope["reports"], raising=False)
    module = ModuleType("tasks.reports")
    monkeypatch.setitem(sys.modules, "tasks.reports", module)
    exec(TASK, vars(module))  # noqa: S102
    test: dict[str, Any] = {}
    exec(TEST, test)  # noqa: S102
    yield test
    registry._by_home.clear()
    registry._by_home.update(known)


def test_the_readmes_figures_are_those_of_the_report() -> None:
    evidence = README[README.index("## Evidence") : README.index("## Troubleshooting")]
    quoted = [line.split(" | ") for line in evidence.splitlines() if re.search(r"\d+\.\d+ (and|\|)", line)]
    reported = [line.split(" | ") for line in REPORT.splitlines()]
    assert len(quoted) == 4
    for row in quoted:
        assert any((found[0], found[-1]) == (row[0], row[-1]) for found in reported), row
    for figure in re.findall(r"\d+\.\d\d", evidence):
        assert figure in REPORT


def test_every_error_in_the_readmes_troubleshooting_exists() -> None:
    table = README[README.index("## Troubleshooting") : README.index("## Where things are")]
    shown = re.findall(r"^\| `([^`]*)`", table, flags=re.MULTILINE)
    assert len(shown) == 13
    sources = [*ROOT.glob("functions/celeriac/**/*.py"), *ROOT.glob("console/**/*.py"), *ROOT.glob("local/*.sh")]
    sources += ROOT.glob("local/celeriac_local/**/*.py")
    text = "\n".join(file.read_text() for file in sources)
    of_others = {
        "celeriac: command not found",
        "invalid peer certificate: UnknownIssuer",
        "No module named 'tasks'",
    }
    ours = [error.removesuffix(" celeriac-dev--reports") for error in shown if error not in of_others]
    assert [error for error in ours if error not in text] == []


def test_every_linked_page_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#][^)]*)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            if "://" in path:
                continue
            assert (page.parent / path).exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", (page.parent / path).read_text(), flags=re.MULTILINE)
                assert anchor in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}, (
                    target
                )


def test_the_readmes_first_task_is_the_quickstarts() -> None:
    assert blocks(ROOT / "README.md", "python") == [QUEUE, TASK]


def test_every_file_of_the_library_that_docs_name_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {path for page in pages for path in re.findall(r"celeriac/[a-z_/]+\.py", page.read_text())}
    assert len(named) > 40
    assert sorted(path for path in named if not (ROOT / "functions" / path).exists()) == []


def test_the_first_task_works_as_written(sandbox: Sandbox, typed: dict[str, Any]) -> None:
    typed["test_a_report_waits_for_its_month_to_end"](sandbox)


def test_the_transaction_works_as_written(
    sandbox: Sandbox, typed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(TRANSACTION, {})  # noqa: S102
    assert "action 2, update of payments" in capsys.readouterr().out
    with celeriac.transaction() as tx:
        tx.put("payments", {"pk": "account-7", "balance": 12})
    exec(TRANSACTION, {})  # noqa: S102
    item = client("dynamodb").get_item(TableName="celeriac-test--payments", Key={"pk": {"S": "account-7"}})["Item"]
    assert item["balance"] == {"N": "7"}
    assert client("dynamodb").scan(TableName="celeriac-test--outbox")["Count"] == 2
