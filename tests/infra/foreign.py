"""A CDK application that isn't ours, and packages of tasks for it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from constructs import Construct

from celeriac.model import declared
from tests.infra.template import Stack, text

QUEUES = 'from celeriac import Queue\n\nmail = Queue("mail")\n'
TASKS = """
from celeriac import task
from {name}.queues import mail


@task(mail, key="to")
def send(to: str) -> None: ...


@task(mail, cron="0 3 * * *")
def clean() -> None: ...
"""


def package(root: Path, name: str, *, queues: str = QUEUES, tasks: str = TASKS, tables: str = "") -> Path:
    """A package of tasks in the folder `root`."""
    folder = root / name
    folder.mkdir(parents=True)
    for file, content in (("__init__", ""), ("queues", queues), ("work", tasks), ("tables", tables)):
        (folder / f"{file}.py").write_text(content.replace("{name}", name))
    return folder


def app(**context: Any) -> cdk.App:
    """A CDK app of somebody's, which builds no bundle."""
    return cdk.App(context={**context, "aws:cdk:bundling-stacks": []})


def function(scope: Construct, name: str = "Api") -> lambda_.Function:
    """A function of the application's own."""
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return lambda_.Function(
        scope, name, runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler", code=code, function_name=name
    )


def template(stack: cdk.Stack) -> Stack:
    """What a stack has become; a synth changes nothing any more, so it is made once."""
    return Stack(stack.stack_name, Template.from_stack(stack))


def variables(stack: Stack, name: str) -> Mapping[str, Any]:
    """The environment of the function with this physical name."""
    made: Mapping[str, Any] = stack.named("Lambda::Function", "FunctionName", name)["Environment"]["Variables"]
    return made


def physical(stack: Stack, kind: str, key: str) -> set[str]:
    """The physical names of all resources of a type."""
    return {text(each[key]) for each in stack.resources(kind) if key in each}


@contextmanager
def imports_of(root: Path) -> Iterator[Path]:
    """Restore what Python has imported from the folder, when the block ends. Yields the folder."""
    path = list(sys.path)
    try:
        yield root
    finally:
        sys.path[:] = path
        declared._tables.cache_clear()
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{root}/"):
                del sys.modules[name]
