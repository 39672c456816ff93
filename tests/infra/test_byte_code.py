"""What the bundle does to sources and to botocore's data."""

import ast
import gzip
import json
import marshal
from pathlib import Path
from types import CodeType

import pytest

from celeriac_cdk.bundle.botocore_data import cut
from celeriac_cdk.bundle.byte_code import SourceError, compile_bundle, without_docstrings

SOURCE = b'''"""A module."""
import os


class Error(Exception):
    """Raised."""


class One:
    """A class,

    in several lines.
    """

    def f(self) -> str:
        "One line."
        text = """
        not a docstring"""
        return text

    def g(self): """On its line."""

    def h(self):
        """With more behind it."""; return 1
'''


def test_each_line_keeps_its_number() -> None:
    emptied = without_docstrings(SOURCE.replace(b"; return 1", b""))
    assert b"module" not in emptied
    assert b"Raised" not in emptied
    assert b"several" not in emptied
    for number, (before, after) in enumerate(zip(SOURCE.splitlines(), emptied.splitlines(), strict=False)):
        assert after.strip() in {b"", b"pass", before.strip()} or b"def g" in after, number
    (_, error, one) = [node for node in ast.parse(emptied).body if not isinstance(node, ast.Expr)]
    assert isinstance(error, ast.ClassDef)
    assert isinstance(one, ast.ClassDef)
    found: dict[str, object] = {}
    exec(emptied, found)  # noqa: S102 - the source above
    assert found["One"]().f().endswith("not a docstring")  # type: ignore[operator]
    assert found["One"].__doc__ is None


def test_a_docstring_that_shares_its_line_stays() -> None:
    assert without_docstrings(SOURCE) == SOURCE


def test_a_text_in_another_encoding_stays_as_it_is() -> None:
    source = b'# -*- coding: latin-1 -*-\n"""\xe4"""\nx = \'\xe4\'\n'
    found: dict[str, object] = {}
    exec(compile(without_docstrings(source), "x", "exec"), found)  # noqa: S102 - the source above
    assert found["x"] == "\u00e4"


def test_a_source_that_is_not_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mail.py").write_text("def broken(:\n")
    with pytest.raises(SourceError, match=r"tasks/mail.py: .*line 1"):
        compile_bundle(tmp_path)


def test_modules_of_tasks_keep_their_docstrings(tmp_path: Path) -> None:
    source = tmp_path / "mail.py"
    source.write_text('"""Mail."""\n')
    compile_bundle(tmp_path)
    assert source.read_text() == '"""Mail."""\n'
    assert list(tmp_path.rglob("*.pyc"))


def test_a_librarys_code_knows_its_lines_and_no_columns(tmp_path: Path) -> None:
    for name in ("six.py", "mail.py"):
        (tmp_path / name).write_text("import os\n\n\ndef f():\n    return os.sep.x\n")
    compile_bundle(tmp_path)
    found = {}
    for made in tmp_path.rglob("*.pyc"):
        code = marshal.loads(made.read_bytes()[16:])  # noqa: S302 - the byte code that was just made
        (function,) = [one for one in code.co_consts if isinstance(one, CodeType)]
        assert code.co_filename == f"/var/task/{made.name.partition('.')[0]}.py"
        *_, (line, _, column, _) = function.co_positions()
        found[made.name.partition(".")[0]] = line, column is not None
    assert found == {"six": (5, False), "mail": (5, True)}


def test_a_librarys_source_that_is_not_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "six.py").write_text("x = 1\nreturn x\n")  # only the compiler refuses it, the parser doesn't
    with pytest.raises(SourceError, match=r"six\.py"):
        compile_bundle(tmp_path)


def test_botocores_data_keeps_what_a_listed_service_needs(tmp_path: Path) -> None:
    data = tmp_path / "botocore" / "data"
    service = data / "ses" / "2010-12-01"
    service.mkdir(parents=True)
    shape = {"members": {"documentation": {"shape": "Text", "documentation": "Words."}}, "documentation": "Words."}
    content = {"metadata": {"endpointPrefix": "email"}, "documentation": "Words.", "shapes": {"One": shape}}
    (service / "service-2.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))
    services: dict[str, object] = {name: {"endpoints": {}} for name in ("email", "ec2", "sqs")}
    (data / "endpoints.json").write_text(json.dumps({"partitions": [{"partition": "aws", "services": services}]}))

    cut(tmp_path, frozenset({"ses", "sqs"}))

    assert json.loads(gzip.decompress((service / "service-2.json.gz").read_bytes())) == {
        "metadata": {"endpointPrefix": "email"},
        "shapes": {"One": {"members": {"documentation": {"shape": "Text"}}}},
    }
    (partition,) = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert partition == {"partition": "aws", "services": {"email": {"endpoints": {}}, "sqs": {"endpoints": {}}}}
