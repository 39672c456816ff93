"""examples/: the tests of each pass in its own folder, and the pages of docs/howto show its files."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.howto import ROOT, run

EXAMPLES = {
    "fastapi": ["fastapi.md", "api.py"],
    "flask": ["flask.md", "shop.py"],
    "django": ["django.md", "orders/views.py"],
    "plain_lambda": ["lambda-producer.md", "api.py"],
    "durable": ["graphs.md", "shop_tasks/graph.py"],
    "reports": ["reports.md", "shop_tasks/reports.py"],
    "uploads": ["uploads.md", "shop_tasks/uploads.py"],
}
BLOCK = re.compile(r"(?:`([\w/.]+)`[^\n]*:\n\n)?```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_tests_of_an_example_pass(name: str) -> None:
    passed = run(ROOT / "examples" / name, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert re.search(r"^\d+ passed in", passed, re.MULTILINE)


@pytest.mark.parametrize(("name", "shown"), EXAMPLES.items())
def test_a_page_shows_the_files_of_its_example(name: str, shown: list[str]) -> None:
    page, application = shown
    folder = ROOT / "examples" / name
    contents = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.py")}
    blocks = BLOCK.findall((ROOT / "docs" / "howto" / page).read_text())
    wrong = [
        file or block.partition("\n")[0]
        for file, block in blocks
        if (block != contents.get(file) if file else not any(block in content for content in contents.values()))
    ]
    assert wrong == []
    assert application in [file for file, _ in blocks]


def test_every_folder_of_examples_is_tried_here_and_has_a_readme() -> None:
    folders = sorted(readme.parent.name for readme in (ROOT / "examples").glob("*/README.md"))
    assert folders == sorted([*EXAMPLES, "cdk_app"])  # tests/infra/ tries the application of the CDK
    assert folders == sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())
    links = re.findall(r"\(([\w-]+)/README\.md\)", (ROOT / "examples" / "README.md").read_text())
    assert sorted(links) == folders


def test_the_sources_of_the_examples_are_named_by_their_project() -> None:
    for name in EXAMPLES:
        assert 'source = "shop_tasks"' in Path(ROOT / "examples" / name / "celeriac.toml").read_text()
