"""The construct `Celeriac` for any CDK application, and the stacks of a stage that are made of its parts."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from celeriac.model.extras import need

if TYPE_CHECKING:
    from celeriac.model.stages import QueueNumbers, StageSettings, Vpc
    from celeriac_cdk.celeriac import Celeriac
    from celeriac_cdk.config import ConfigError
    from celeriac_cdk.page.settings import EVERYBODY, Oidc, Web

__all__ = ["EVERYBODY", "Celeriac", "ConfigError", "Oidc", "QueueNumbers", "StageSettings", "Vpc", "Web"]


need("cdk", "celeriac_cdk")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: app.py must put Node on PATH before anything imports aws_cdk."""
    match name:
        case "Celeriac":
            return import_module("celeriac_cdk.celeriac").Celeriac
        case "ConfigError":
            return import_module("celeriac_cdk.config").ConfigError
        case "EVERYBODY" | "Oidc" | "Web":
            return getattr(import_module("celeriac_cdk.page.settings"), name)
        case "QueueNumbers" | "StageSettings" | "Vpc":
            return getattr(import_module("celeriac.model.stages"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
