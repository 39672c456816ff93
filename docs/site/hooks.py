"""What MkDocs calls while it builds the site."""

from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from docs.site import commands, pages


def on_config(config: Any) -> Any:
    """Set the menu."""
    config.nav = pages.navigation(Path(config.docs_dir))
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages that aren't in docs/."""
    docs = Path(config.docs_dir)
    for place, source in pages.OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(docs.parent / source)))
    files.append(File.generated(config, pages.COMMANDS, content=commands.reference()))
    files.append(File.generated(config, pages.DECISIONS, content=pages.list_of_decisions(docs)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - MkDocs names them
    """Turn the links between files into links between pages."""
    try:
        return pages.rewritten(markdown, page.file.src_uri, Path(config.docs_dir).parent)
    except pages.LinkError as error:
        raise PluginError(str(error)) from error


def on_page_content(html: str, *, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - MkDocs names them
    """Refuse a page whose anchors would differ from GitHub's: alarms link to those of the runbook."""
    made = [entry.id for top in page.toc for entry in top.children]
    if page.file.src_uri == "runbook.md" and made != pages.anchors(page.markdown):
        raise PluginError(f"the anchors of {page.file.src_uri} are {made}: choose plain headings")
    return html
