"""The stage that an instance of `Celeriac` builds: what its parts need to make names and rights after it is built."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from constructs import IConstruct

from celeriac import Task
from celeriac.declare import registry
from celeriac.model import declared, settings
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.halves.page import environment_of

_BUILT: "WeakKeyDictionary[IConstruct, dict[tuple[str, ...], str]]" = WeakKeyDictionary()
"""The stages in each CDK app, with account and region, and the path of the construct that builds each."""


@dataclass(frozen=True, slots=True)
class Home:
    """The application and the stage, its tasks, and its key."""

    config: StageConfig
    package: str
    """The import name of the package with the tasks."""
    tasks: Sequence[Task[..., Any, Any]]
    key: kms.IKey | None
    account: str
    """Those of the construct's stack; tokens if its `env` doesn't say."""
    region: str

    @contextmanager
    def named(self) -> Iterator[None]:
        """Make the names of this application, and of no other, until the block ends."""
        with settings.named(self.config.application), declared.application(self.package):
            yield

    @property
    def title(self) -> str:
        """The application and the stage, as errors name them."""
        return f"the application {self.config.application!r}, stage {self.config.stage!r}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to send to the stage, and to ask it."""
        return environment_of(self.config, self.package, self.key)


@contextmanager
def only(application: str, package: str) -> Iterator[None]:
    """Build one application, as if no other were in this process, until the block ends."""
    with (
        settings.named(application),
        declared.application(package),
        registry.only(lambda task: registry.is_of(task, package)),
    ):
        yield


def check_once(scope: IConstruct, config: StageConfig) -> None:
    """Raise ConfigError if the CDK app has the same stage of the same application for this account and region."""
    stack, built = cdk.Stack.of(scope), _BUILT.setdefault(scope.node.root, {})
    stage = (config.application, config.stage, stack.account, stack.region)
    if stage in built:
        raise ConfigError(
            f"{scope.node.path}: the application {config.application!r} has the stage {config.stage!r} twice in one "
            "account and region, and the names of both would be the same: give one of them another name= or stage=. "
            "If they are for different accounts or regions, say so: give their stacks, or stages of the CDK, an env="
        )
    built[stage] = scope.node.path


def forget(scope: IConstruct) -> None:
    """Forget the stage that check_once has noted for a construct, if it has."""
    built = _BUILT.get(scope.node.root, {})
    for stage in [stage for stage, path in built.items() if path == scope.node.path]:
        del built[stage]
