"""The AWS services that the bundle can call: the data of each makes it larger.

botocore knows a service only by its data files, and the bundle has these files for some services only. They are found
in the sources, as `client("name")`. `[tool.celeriac] aws-services` is for services whose names the sources don't show.
With such a list, a call to another service would fail in Lambda, so synth looks for such calls here. Powertools'
parameters call a service too, without naming it.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore

_FACTORIES = frozenset({"client", "resource"})
# Powertools' parameters make clients themselves, so the sources name no service. These names of the utility do.
_PARAMETERS = "aws_lambda_powertools.utilities.parameters"
_OF_PARAMETERS = {
    "AppConfigProvider": "appconfigdata",
    "DynamoDBProvider": "dynamodb",
    "SSMProvider": "ssm",
    "SecretsProvider": "secretsmanager",
    "get_app_config": "appconfigdata",
    "get_parameter": "ssm",
    "get_parameters": "ssm",
    "get_parameters_by_name": "ssm",
    "get_secret": "secretsmanager",
    "set_parameter": "ssm",
    "set_secret": "secretsmanager",
}


class ServiceError(ValueError):
    """The list of AWS services is wrong, or the code calls one that isn't listed. The message names the cure."""


def known_services() -> frozenset[str]:
    """Return every service that botocore can call. The bundle has the same version of botocore as this environment."""
    data = Path(botocore.__file__).parent / "data"
    return frozenset(entry.name for entry in data.iterdir() if entry.is_dir())


def services_of(sources: Iterable[Path], library: Iterable[Path], options: Mapping[str, Any]) -> frozenset[str]:
    """Return the services whose data the bundle gets.

    These are `aws-services` of `options` if they list any. Otherwise they are the services that `sources` and `library`
    call by a literal name. Raises ServiceError if the list names an unknown service, or lacks one that is called.
    """
    sources = list(sources)
    every = [*sources, *library]
    if "aws-services" in options:
        listed = listed_services(options)
        check_services(every, listed)
        return listed
    called = {service for source in every for _, service in _asked_for(source)} & known_services()
    if any(_imports_parameters(_parsed(source)) for source in sources):
        called |= {"secretsmanager", "ssm"}  # whatever is called, under whatever name
    return frozenset(called)


def listed_services(options: Mapping[str, Any]) -> frozenset[str]:
    """Return `[tool.celeriac] aws-services`. Raises ServiceError if it is no list or names an unknown service."""
    listed = options.get("aws-services")
    if not isinstance(listed, list) or not listed:
        raise ServiceError(
            f'aws-services under [tool.celeriac] is {listed!r}: write ["sqs", ...], or leave the key out, and Celeriac '
            "finds the services in the sources"
        )
    if unknown := sorted(set(listed) - known_services()):
        raise ServiceError(f"aws-services names {unknown[0]!r}, but botocore has no service of that name")
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
    """Yield line and service of each `client("name")`, `x.resource("name")`, `client(service_name="name")`, and of what
    the source uses of Powertools' parameters.
    """
    tree = _parsed(source)
    parameters = _imports_parameters(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _named_in(node))
        elif isinstance(node, ast.ImportFrom) and _is_parameters(node.module):
            yield from ((node.lineno, _OF_PARAMETERS[it.name]) for it in node.names if it.name in _OF_PARAMETERS)
        elif parameters and isinstance(node, ast.Attribute) and node.attr in _OF_PARAMETERS:
            yield node.lineno, _OF_PARAMETERS[node.attr]


def _parsed(source: Path) -> ast.Module:
    return ast.parse(source.read_bytes(), filename=str(source))


def _named_in(call: ast.Call) -> Iterator[str]:
    """Yield the literal name of a service, if `call` makes a client."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if called in _FACTORIES:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "service_name"]
        for argument in [*call.args[:1], *named]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def _imports_parameters(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(_is_parameters(it.name) for it in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (
            _is_parameters(node.module) or any(_is_parameters(f"{node.module}.{it.name}") for it in node.names)
        ):
            return True
    return False


def _is_parameters(module: str | None) -> bool:
    """Whether `module` is Powertools' utility or one of its modules."""
    return f"{module}.".startswith(f"{_PARAMETERS}.")
