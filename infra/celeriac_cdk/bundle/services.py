"""The AWS services that the bundle can call. pyproject.toml lists them, because the data of each makes it larger.

botocore knows a service only by its data files, and the bundle has these files for listed services only. A call to
another service would fail in Lambda, so synth looks for such calls here.
"""

import ast
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import botocore

_FACTORIES = frozenset({"client", "resource"})


class ServiceError(ValueError):
    """The list of AWS services is wrong, or the code calls one that isn't listed. The message names the cure."""


def known_services() -> frozenset[str]:
    """Return every service that botocore can call. The bundle has the same version of botocore as this environment."""
    data = Path(botocore.__file__).parent / "data"
    return frozenset(entry.name for entry in data.iterdir() if entry.is_dir())


def listed_services(pyproject: Path) -> frozenset[str]:
    """Return `[tool.celeriac] aws-services`. Raises ServiceError if it is missing or names an unknown service."""
    tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    listed = tool.get("celeriac", {}).get("aws-services")
    if not isinstance(listed, list) or not listed:
        raise ServiceError(
            f'{pyproject.name} lists no AWS services: write [tool.celeriac] aws-services = ["sqs", ...] into it'
        )
    if unknown := sorted(set(listed) - known_services()):
        raise ServiceError(
            f"{pyproject.name} lists {unknown[0]!r} under aws-services, but botocore has no service of that name"
        )
    return frozenset(listed)


def check_services(sources: Iterable[Path], listed: frozenset[str]) -> None:
    """Raise ServiceError if a source asks boto3 for a service that is not `listed`.

    Only literal names are found. Names that botocore doesn't know are ignored, because other libraries have a `client`
    too.
    """
    known = known_services()
    for source in sources:
        for line, service in _asked_for(source):
            if service in known - listed:
                raise ServiceError(
                    f"{source}:{line} calls AWS {service!r}, which the bundle would lack: "
                    f'add "{service}" to aws-services under [tool.celeriac] in pyproject.toml'
                )


def _asked_for(source: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each `client("name")`, `x.resource("name")` and `client(service_name="name")`."""
    for node in ast.walk(ast.parse(source.read_bytes(), filename=str(source))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called not in _FACTORIES:
            continue
        named = [keyword.value for keyword in node.keywords if keyword.arg == "service_name"]
        for argument in [*node.args[:1], *named]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value
