"""docs/howto/hooks.md: its modules and its tests, unchanged, in a copy with the quickstart's queue."""

import sys
from pathlib import Path

from tests.support.howto import QUICKSTART, ROOT, blocks, check_style, copied, run, typed_in

SHIPPED, TENANTS, HOOKS, INVOICES, TEST = blocks(ROOT / "docs" / "howto" / "hooks.md", "python")
QUEUE, *_ = blocks(QUICKSTART, "python")


def test_the_howtos_tenant_follows_its_messages(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    typed_in(copy, QUEUE, "queues")
    tasks = copy / "functions" / "tasks"
    for name, content in (("tenants", TENANTS), ("hooks", HOOKS), ("invoices", INVOICES)):
        (tasks / f"{name}.py").write_text(content)
    (copy / "tests").mkdir()
    (copy / "tests" / "test_tenants.py").write_text(TEST)

    check_style(copy, *(f"functions/tasks/{name}.py" for name in ("tenants", "hooks", "invoices")))
    assert "2 passed" in run(copy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")


def test_the_howtos_shipped_hooks_are_found_by_every_process(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    (copy / "functions" / "tasks" / "hooks.py").write_text(SHIPPED)
    program = "from celeriac.hooks.registered import of_application as of; print(len(of().around_task))"
    assert run(copy, sys.executable, "-c", program) == "2\n"


def test_a_worker_whose_hooks_cannot_be_imported_says_so_and_runs_without(tmp_path: Path) -> None:
    copy = copied(tmp_path)
    (copy / "functions" / "tasks" / "hooks.py").write_text("raise RuntimeError('card-4111')\n")
    program = (
        "import celeriac.entry.consumer; from celeriac.hooks.registered import NONE, of_application; "
        "print(of_application() == NONE)"
    )
    said = run(copy, sys.executable, "-c", program, AWS_DEFAULT_REGION="eu-west-1")
    assert "True" in said
    assert '"module_name":"tasks.hooks"' in said
    assert "card-4111" not in said
