"""Which page of the site stands where: the four kinds of documentation, and pages from outside docs/.

The links between the files of the repository work on GitHub. Here they are rewritten for the site.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

OUTSIDE = {
    "index.md": "README.md",
    "examples/index.md": "examples/README.md",
    "examples/cdk-app.md": "examples/cdk_app/README.md",
    "examples/django.md": "examples/django/README.md",
    "examples/durable.md": "examples/durable/README.md",
    "examples/fastapi.md": "examples/fastapi/README.md",
    "examples/flask.md": "examples/flask/README.md",
    "examples/plain-lambda.md": "examples/plain_lambda/README.md",
    "examples/reports.md": "examples/reports/README.md",
    "examples/uploads.md": "examples/uploads/README.md",
    "project/benchmarks.md": "benchmarks/report.md",
    "project/rates.svg": "benchmarks/rates.svg",
    "project/report.svg": "benchmarks/report.svg",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}
"""Files outside docs/, by their place in the site."""
COMMANDS = "reference/commands.md"
"""The page of all commands, made from the command line's own help."""
DECISIONS = "decisions/index.md"
"""The list of all decisions."""

_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")

type Nav = list[str | dict[str, Nav]]


class LinkError(ValueError):
    """A page links to a file that isn't in the site."""


def navigation(docs: Path) -> Nav:
    """The menu: how the pages of `docs` are read, tutorials first."""

    def pages(folder: str) -> Nav:
        return [page.relative_to(docs).as_posix() for page in sorted((docs / folder).glob("*.md"))]

    return [
        {"Start": ["index.md", "quickstart.md"]},
        {"How-to": [*pages("howto"), "runbook.md", {"Examples": _outside("examples/")}]},
        {"Reference": [COMMANDS, *pages("reference"), {"Python": pages("reference/api")}]},
        {
            "Explanation": [
                *pages("explanation"),
                "faq.md",
                "glossary.md",
                {"Decisions": [DECISIONS, *pages("decisions")]},
            ]
        },
        {"Project": _outside("project/")},
    ]


def _outside(folder: str) -> Nav:
    return [page for page in OUTSIDE if page.startswith(folder) and page.endswith(".md")]


def list_of_decisions(docs: Path) -> str:
    """The page that links to every decision by its title."""
    lines = ["# Decisions", "", "What was decided, why, what was rejected, and what would reopen it.", ""]
    for page in sorted((docs / "decisions").glob("*.md")):
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({page.name})")
    return "\n".join(lines) + "\n"


def rewritten(markdown: str, page: str, root: Path) -> str:
    """The text of a page with links for the site. `page` is its place there; `root` holds docs/ and README.md.

    Raises LinkError for a link to a file that has no place in the site.
    """
    home = PurePosixPath(OUTSIDE.get(page, f"docs/{page}")).parent

    def place(found: re.Match[str]) -> str:
        target = found["target"]
        file = PurePosixPath(os.path.normpath(home / target)).as_posix()
        if not (root / file).exists():
            return found[0]  # a page that is made with the site, or a mistake, which the strict build finds
        return os.path.relpath(_place(file, page), PurePosixPath(page).parent) + (found["anchor"] or "")

    return "".join(_LINK.sub(place, part) if text else part for part, text in _parts(markdown))


def anchors(markdown: str) -> list[str]:
    """The anchors that GitHub gives to a page's headings of the second level."""
    titles = re.findall(r"^## (.+)$", markdown, re.MULTILINE)
    return [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles]


def _parts(markdown: str) -> Iterator[tuple[str, bool]]:
    """The text of a page in parts, and whether each is text: a block of code is none."""
    for number, part in enumerate(re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)):
        yield part, number % 2 == 0


def _place(file: str, page: str) -> str:
    if file == "docs/decisions":
        return DECISIONS
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    for place, source in OUTSIDE.items():
        if source == file:
            return place
    raise LinkError(f"{page} links to {file}, which isn't in the site: add it to OUTSIDE in docs/site/pages.py")
