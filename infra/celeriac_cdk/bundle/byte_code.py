"""Compiles the bundle. Lambda can't keep byte code that it makes, and compiling takes half of a cold start.

A library's modules that no handler loads have their source only: Python compiles one that a task imports when it is
imported. loaded.txt lists the modules that have byte code. Docstrings of libraries are left out, and the columns of
their code: a traceback names the line in a library, and marks the place in the line only in other code.
"""

import ast
import importlib.util
import marshal
import subprocess
import sys
import warnings
from pathlib import Path

LOADED = Path(__file__).with_name("loaded.txt")
# PEP 552: byte code with a hash of its source, which Python doesn't check.
_UNCHECKED_HASH = b"\x01\x00\x00\x00"
# The folder of the code in Lambda. Tracebacks name it.
_ROOT = "/var/task"


class SourceError(Exception):
    """A source is not valid Python. The message names the file and the line."""


def compile_bundle(bundle: Path) -> None:
    """Add byte code that Lambda loads without a check, if it runs this version of Python. Raises SourceError.

    All modules get it that don't belong to a library of loaded.txt: the sources, and the packages that tasks need.
    """
    loaded = frozenset(LOADED.read_text(encoding="utf-8").split())
    libraries = {name.partition("/")[0] for name in loaded} | {"celeriac"}
    of_libraries = []
    for source in sorted(bundle.rglob("*.py")):
        name = source.relative_to(bundle).as_posix()
        library = name.partition("/")[0]
        try:
            with warnings.catch_warnings(action="ignore"):  # about other people's sources
                if library in libraries:
                    source.write_bytes(without_docstrings(source.read_bytes()))
                if name in loaded:
                    of_libraries.append(source)
                elif library not in libraries - {"celeriac"}:
                    _compile(source, name)
        except (SyntaxError, ValueError) as error:
            raise SourceError(f"{name}: {error}") from error
    if of_libraries:
        _compile_without_columns(bundle, of_libraries)


def _compile(source: Path, name: str) -> None:
    content = source.read_bytes()
    # Byte code contains the path of its source. The folder of a build is different each time, Lambda's isn't.
    code = compile(content, f"{_ROOT}/{name}", "exec", dont_inherit=True, optimize=0)
    made = Path(importlib.util.cache_from_source(str(source), optimization=""))
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(
        importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(content) + marshal.dumps(code)
    )


def _compile_without_columns(bundle: Path, sources: list[Path]) -> None:
    """Start Python to compile the sources. Only an option of its start leaves out the columns: 8 % of the bundle."""
    options = [
        "-q",
        "-f",
        "-o",
        "0",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(bundle),
        "-p",
        _ROOT,
        "-i",
        "-",
    ]
    done = subprocess.run(  # noqa: S603 - Python's own module, with the files of the bundle
        [sys.executable, "-I", "-W", "ignore", "-X", "no_debug_ranges", "-m", "compileall", *options],
        input="\n".join(map(str, sources)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SourceError((done.stdout + done.stderr).strip())


def without_docstrings(content: bytes) -> bytes:
    """Return a source with empty lines in place of its docstrings, so that tracebacks name the same lines.

    Raises SyntaxError for a source that isn't Python.
    """
    lines = content.splitlines(keepends=True)
    for node in ast.walk(ast.parse(content)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        match node.body:
            case [ast.Expr(ast.Constant(str())) as docstring, *rest]:
                _blank(lines, docstring, b"" if rest else b"pass")
    emptied = b"".join(lines)
    try:
        ast.parse(emptied)
    except SyntaxError:  # something else stands on the last line of a docstring
        return content
    return emptied


def _blank(lines: list[bytes], node: ast.Expr, instead: bytes) -> None:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    begin, end = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    if begin.isspace() and not instead and end.isspace():
        begin = b""
    for number in range(first, last + 1):
        lines[number] = b"\n"
    lines[first] = begin + instead + (end if first == last else b"\n")
    if first != last and not end.isspace():
        lines[last] = end
