"""`celeriac cdk ...`: the pinned command line of the CDK, on the account of the caller's credentials.

Before a deploy it looks for what would fail after a minute of building, and afterwards it names the known causes.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from celeriac.model import settings
from celeriac.model.stages import LOCAL
from celeriac_local import before_deploy, credentials, folders, install, target
from celeriac_local.cloud.environment import ACCESS_KEY
from celeriac_local.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The CDK: see, deploy and delete the stacks.")
_REST = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
_DELIVERY = "-delivery"
_NO_BOOTSTRAP = re.compile(r"cdk bootstrap|bootstrap stack|bootstrapped", re.IGNORECASE)
_NO_CREDENTIALS = re.compile(
    r"Could not (load|resolve) credentials|no credentials|expired credentials|shared credentials file"
    r"|Unable to resolve AWS account|ExpiredToken|InvalidClientTokenId",
    re.IGNORECASE,
)


@app.command(context_settings=_REST)
def synth(context: typer.Context, stage: str) -> None:
    """Write the templates to cdk.out/. It needs no AWS account.

    Example: celeriac cdk synth dev
    """
    _end(context, stage)


@app.command(context_settings=_REST)
def diff(context: typer.Context, stage: str) -> None:
    """Compare with the deployed stacks.

    Example: celeriac cdk diff prod --method template
    """
    _end(context, stage)


@app.command(context_settings=_REST)
def deploy(context: typer.Context, stage: str) -> None:
    """Deploy to the account of your AWS credentials. What follows the stage goes to the CDK.

    Example: celeriac cdk deploy dev --require-approval never
    """
    _end(context, stage)


@app.command(context_settings=_REST)
def destroy(context: typer.Context, stage: str) -> None:
    """Delete the deployed stacks. A stage that keeps its data keeps queues, tables and buckets.

    Example: celeriac cdk destroy dev
    """
    _end(context, stage)


@app.command(context_settings=_REST)
def bootstrap(context: typer.Context, stage: str) -> None:
    """Prepare an account and region for the CDK, once for each.

    Example: celeriac cdk bootstrap dev
    """
    _end(context, stage)


Repository = Annotated[str, typer.Argument(metavar="OWNER/REPO")]


@app.command(f"deploy{_DELIVERY}", context_settings=_REST)
def deploy_delivery(context: typer.Context, repository: Repository) -> None:
    """Deploy the roles of a repository's workflows.

    Example: celeriac cdk deploy-delivery my/repository -c stages=dev,prod
    """
    _end(context, repository)


@app.command(f"diff{_DELIVERY}", context_settings=_REST)
def diff_delivery(context: typer.Context, repository: Repository) -> None:
    """Compare the roles of a repository's workflows with the deployed ones.

    Example: celeriac cdk diff-delivery my/repository
    """
    _end(context, repository)


@app.command(f"destroy{_DELIVERY}", context_settings=_REST)
def destroy_delivery(context: typer.Context, repository: Repository) -> None:
    """Delete the roles of a repository's workflows.

    Example: celeriac cdk destroy-delivery my/repository
    """
    _end(context, repository)


def _end(context: typer.Context, which: str) -> None:
    try:
        code = run(str(context.info_name), which, context.args)
    except UserError as error:
        typer.echo(str(error), err=True)
        code = 1
    raise typer.Exit(code)


def run(command: str, which: str, words: Sequence[str]) -> int:
    """Run `cdk COMMAND` for the stage or, for `...-delivery`, the repository. Returns the exit code.

    words: further arguments for the CDK. Raises UserError for what is wrong before anything is built.
    """
    check(command, which, words)
    cdk = install.cdk(lambda line: typer.echo(line, err=True))
    name = command.removesuffix(_DELIVERY)
    variables = install.environment() | {"CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_DISABLE_VERSION_CHECK": "1"}
    # Another stage than the one that is named may stand there, and tasks may read it when they are imported.
    variables.pop(settings.STAGE, None)
    code, errors = _shown([str(cdk), name, *options(command, which, words, os.environ)], variables)
    if code:
        typer.echo(f"\n{cause(command, which, errors)}", err=True)
    elif command == "diff":
        _plan(which)
    elif command == "synth":
        typer.echo(f"The templates of {_of(command, which)} are in cdk.out/")
    return code


def check(command: str, which: str, words: Sequence[str]) -> None:
    """Raise UserError if the command can't succeed, before anything is built."""
    name, delivery = command.removesuffix(_DELIVERY), command.endswith(_DELIVERY)
    root = folders.root()
    if which == LOCAL and not delivery:
        raise UserError(
            f"The stage '{LOCAL}' is for the local cloud: deploy it with celeriac local up. On AWS: "
            f"celeriac cdk {command} dev"
        )
    if name == "synth":
        return
    # The CDK checks the credentials too, but only after it has built everything.
    if (reason := credentials.unusable(words, os.environ)) is not None:
        raise UserError(
            f"No credentials that AWS takes: {reason}. Nothing was built or deployed.\n{credentials.CURE}\n"
            f"Then: celeriac cdk {command} {which}"
        )
    if delivery or name == "bootstrap":
        return
    if (reason := target.problem(root, which, words)) is not None:
        raise UserError(f"celeriac: {reason}. Nothing was built or deployed.")
    if name == "deploy":
        _prepare(root, which, words)


def _prepare(root: Path, stage: str, words: Sequence[str]) -> None:
    try:
        reason = before_deploy.key_at_once(root, stage, words)
        if reason is not None:
            raise UserError(f"celeriac: {reason}. Nothing was built or deployed.")
        for line in before_deploy.unprotect(root, stage, words):
            typer.echo(line)
    except (BotoCoreError, ClientError) as problem:
        # The CDK makes the same calls, and says what is wrong.
        typer.echo(f"celeriac: the stacks can't be looked at ({problem})")


def options(command: str, which: str, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The arguments of the CDK's command line behind the command."""
    name, delivery = command.removesuffix(_DELIVERY), command.endswith(_DELIVERY)
    key = "delivery" if delivery else "stage"
    more = {"synth": ["--quiet"], "bootstrap": []}.get(name, ["--all"])
    # In a shell of the local cloud any stage can be tried: the functions then run on this machine.
    here = ["-c", "local_cloud=true"] if environment.get("AWS_ACCESS_KEY_ID") == ACCESS_KEY else []
    return ["-c", f"{key}={which}", "--no-notices", *here, *more, *words]


def cause(command: str, which: str, errors: str) -> str:
    """What to do about a failure of the CDK, by what it has written to standard error."""
    if _NO_BOOTSTRAP.search(errors):
        stage = "dev" if command.endswith(_DELIVERY) else which
        return f"This account and region have no CDK bootstrap yet. Once: celeriac cdk bootstrap {stage}"
    if _NO_CREDENTIALS.search(errors):
        return (
            "AWS didn't accept the credentials. See which are in use: aws sts get-caller-identity\n"
            f"Sign in (aws sso login) or set AWS_PROFILE, then: celeriac cdk {command} {which}"
        )
    return f"cdk {command.removesuffix(_DELIVERY)} failed for {_of(command, which)}. The reason is above."


def _of(command: str, which: str) -> str:
    return f"the repository {which}" if command.endswith(_DELIVERY) else f"the stage {which}"


def _shown(command: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Run a command on this terminal. Returns its exit code and what it has written to standard error.

    Standard input and output stay connected, because the CDK asks before it widens permissions.
    """
    kept: list[bytes] = []
    with subprocess.Popen(  # noqa: S603 - the CDK
        command, cwd=folders.root(), env=dict(variables), stderr=subprocess.PIPE
    ) as child:
        assert child.stderr is not None  # noqa: S101 - for the type checker: it is a pipe
        while chunk := os.read(child.stderr.fileno(), 65536):
            kept.append(chunk)
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
    return child.returncode, b"".join(kept).decode(errors="replace")


def _plan(stage: str) -> None:
    """Show what a deploy would do to the tasks. A mistake there isn't one of the comparison."""
    celeriac = Path(sys.executable).with_name("celeriac")
    subprocess.run([str(celeriac), "--stage", stage, "plan"], cwd=folders.root(), check=False)  # noqa: S603 - our own
