"""docs/howto/events.md: its event and its tasks, unchanged, in a copy with the quickstart's queue."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.howto import BINARIES, QUICKSTART, ROOT, blocks, check_style, copied, run, typed_in

EVENT, TASKS, TEST = blocks(ROOT / "docs" / "howto" / "events.md", "python")
QUEUE, *_ = blocks(QUICKSTART, "python")
MISTAKES = """
from tasks.invoice_events import InvoicePaid

InvoicePaid(invoice_id=7, amount_cents=5)
InvoicePaid(invoice_id="i-1")
InvoicePaid(invoice_id="i-1", amount_cents=5, nothing=1)
"""


def test_the_howtos_event_reaches_its_subscriber_and_is_in_the_schema(tmp_path: Path) -> None:
    copy = copied(tmp_path, "celeriac.toml")
    typed_in(copy, QUEUE, "queues")
    (copy / "functions" / "tasks" / "invoice_events.py").write_text(EVENT)
    (copy / "functions" / "tasks" / "paid_invoices.py").write_text(TASKS)
    (copy / "tests").mkdir()
    test = "tests/test_paid_invoices.py"
    (copy / test).write_text(TEST)

    check_style(copy, "functions/tasks/invoice_events.py", "functions/tasks/paid_invoices.py", test)
    assert "1 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    schema = json.loads(run(copy, BINARIES / "celeriac", "schema", "invoice.paid"))
    assert schema["x-celeriac"] == {"subscribers": ["thank"]}


def test_a_type_checker_finds_mistakes_in_an_events_arguments(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    (copy / "functions" / "tasks" / "invoice_events.py").write_text(EVENT)
    (copy / "mistakes.py").write_text(MISTAKES)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "mistakes.py"],
        cwd=copy,
        env={"MYPYPATH": str(copy / "functions"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("mistakes.py") and " error: " in line]
    assert [line.rpartition("[")[2] for line in lines] == ["arg-type]", "call-arg]", "call-arg]"], done.stdout
