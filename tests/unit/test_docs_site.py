"""The site's pages: each file has its place, and links between files become links between pages."""

import re
from pathlib import Path

import pytest

from docs.site import commands, pages
from docs.site.pages import COMMANDS, DECISIONS, OUTSIDE, LinkError, list_of_decisions, navigation, rewritten

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = {*(place for place in OUTSIDE if place.endswith(".md")), COMMANDS, DECISIONS}


def listed(nav: pages.Nav) -> list[str]:
    found = []
    for entry in nav:
        for each in entry.values() if isinstance(entry, dict) else [entry]:
            found += listed(each) if isinstance(each, list) else [each]
    return found


def test_each_page_is_in_the_menu_once() -> None:
    found = listed(navigation(DOCS))
    assert sorted(found) == sorted({*(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")), *MADE})


@pytest.mark.parametrize(
    ("page", "written", "expected"),
    [
        ("index.md", "[q](docs/quickstart.md)", "[q](quickstart.md)"),
        ("index.md", "[k](docs/reference/messages.md#keys)", "[k](reference/messages.md#keys)"),
        ("index.md", "![d](docs/demo.svg)", "![d](demo.svg)"),
        ("index.md", "[d](docs/decisions)", "[d](decisions/index.md)"),
        ("index.md", "[r](benchmarks/report.md)", "[r](project/benchmarks.md)"),
        ("project/benchmarks.md", "![r](report.svg)", "![r](report.svg)"),
        ("project/contributing.md", "[r](docs/explanation/architecture.md#a)", "[r](../explanation/architecture.md#a)"),
        ("quickstart.md", "[r](../README.md)", "[r](index.md)"),
        ("howto/deploy.md", "[r](../runbook.md#dead-letters)", "[r](../runbook.md#dead-letters)"),
        ("quickstart.md", "[r](https://example.org/x.md) [a](#here)", "[r](https://example.org/x.md) [a](#here)"),
        ("quickstart.md", "[r](nowhere.md)", "[r](nowhere.md)"),
        ("index.md", "```\n[q](docs/quickstart.md)\n```", "```\n[q](docs/quickstart.md)\n```"),
    ],
)
def test_a_link_between_files_becomes_one_between_pages(page: str, written: str, expected: str) -> None:
    assert rewritten(written, page, ROOT) == expected


def test_a_link_to_a_file_without_a_place_is_an_error_that_names_the_cure() -> None:
    with pytest.raises(LinkError, match=r"index\.md links to pyproject\.toml.* add it to OUTSIDE"):
        rewritten("[p](pyproject.toml)", "index.md", ROOT)


def test_every_decision_is_listed_by_its_title() -> None:
    links = re.findall(r"^- \[(.+)\]\((.+)\)$", list_of_decisions(DOCS), re.MULTILINE)
    assert [name for _, name in links] == sorted(page.name for page in (DOCS / "decisions").glob("*.md"))
    assert all(title for title, _ in links)


def test_every_command_is_in_the_reference() -> None:
    text = commands.reference()
    assert "$ `" not in text
    for title in ("## `celeriac send`", "### `celeriac dlq redrive`", "### `celeriac delayed run-now`"):
        assert f"\n{title}\n" in text
    assert "- `--rate" in text
    assert "--help" not in text.partition("## ")[2]
