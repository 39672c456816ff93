"""Run the real `cdk bootstrap` and `cdk deploy` on the local cloud. Add settings that its CloudFormation ignores."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

import celeriac
from celeriac_local import folders, install
from celeriac_local.cloud import environment
from celeriac_local.cloud.state import Cloud
from celeriac_local.errors import UserError
from celeriac_local.folders import log, shown

SENDER = "no-reply@example.org"
_LIMIT_SECONDS = 240
# A file of a project changes what is deployed if it is code or settings, wherever the team keeps it.
_SOURCES = {".py", ".json", ".toml", ".lock", ".txt", ".yaml", ".yml", ".typed"}
_NEVER = {"__pycache__", "node_modules", "cdk.out"}
_NO_SOURCES = {"tests", "docs", "examples", "benchmarks", "console", "local"}
"""Folders at the top of a project whose content changes nothing that is deployed."""
_REASONS = re.compile(
    r"""
    _FAILED | ROLLBACK | ❌ | [Ff]ailed | error: | \b\w*(Error|Exception)\b[:(]
    | ^celeriac:\s                                       # an error of app.py
    | ^File\ "(?!.*(/\.venv/|/lib/python|<frozen))       # a SyntaxError names its file only in a frame
    """,
    re.VERBOSE,
)


def fingerprint(provider_url: str) -> str:
    """A hash of all inputs of a deployment. If the hash hasn't changed, there is nothing to deploy."""
    digest = hashlib.sha256(f"{provider_url}\0{sys.version}".encode())
    library = Path(celeriac.__file__).resolve().parent
    tasks = folders.source_root()
    for folder in (folders.root(), library, library.with_name("celeriac_cdk")):
        for file in _files(folder):
            if file.suffix in _SOURCES or file.is_relative_to(tasks):
                digest.update(f"\0{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for top, inside, names in folder.walk():
        left_out = _NEVER | _NO_SOURCES if top == folder else _NEVER
        inside[:] = sorted(name for name in inside if name not in left_out and not name.startswith("."))
        yield from (top / name for name in sorted(names) if (top / name).is_file())


def deploy(cloud: Cloud, console: Console, shell: Mapping[str, str]) -> None:
    """Bootstrap, synthesize and deploy the stage `local`. Raises UserError with the reason of a failure.

    `shell` is the environment of the user's shell. The synth doesn't need AWS, so it runs during the bootstrap.
    """
    started = time.monotonic()
    # A construct in an application of its own may have a stage of any name.
    context = ["-c", f"stage={environment.STAGE}", "-c", "local_cloud=true"]
    if cloud.provider is not None:
        context += ["-c", f"provider_url={cloud.provider_url}", "-c", f"sender={SENDER}"]
    install.cdk(console.print)
    assembly = folders.assembly()
    of_cdk = environment.of_cdk(cloud.port, shell)
    shutil.rmtree(assembly, ignore_errors=True)  # its templates may have the names of another application
    with console.status("Preparing the deployment (cdk bootstrap, cdk synth)"), ThreadPoolExecutor(2) as pool:
        # The app is empty: the bootstrap names its account, so it needs no synth.
        account = f"aws://000000000000/{environment.REGION}"
        bootstrap = pool.submit(_cdk, of_cdk, "bootstrap", account, "--app", "")
        of_synth = environment.of_synth(cloud.port, shell)
        synth = pool.submit(_cdk, of_synth, "synth", "--quiet", "--output", str(assembly), *context)
        synth.result()
        bootstrap.result()
    if found := findings(assembly):
        console.print(f"cdk-nag warns of {', '.join(found)}: these would stop a deploy to a stage that keeps its data.")
        console.print("For the cure of each: celeriac cdk synth dev")
    with console.status("Deploying (cdk deploy)"):
        _cdk(of_cdk, "deploy", "--all", "--app", str(assembly), "--require-approval", "never", "--progress", "events")
    with console.status("Adding the settings that the emulator's CloudFormation ignores"):
        _complete()
    console.print(f"Deployed in {time.monotonic() - started:.0f} s")


def findings(assembly: Path) -> list[str]:
    """The ids of the cdk-nag rules that the synth has warned of, such as `S1`."""
    report = json.loads((assembly / "validation-report.json").read_text())
    ids = {
        re.sub(r"AwsSolutions-(\w+).*", r"\1", violation["ruleName"])
        for plugin in report["pluginReports"]
        if plugin["pluginName"] == "AwsSolutions"
        for violation in plugin["violations"]
    }
    return sorted(ids)


def _cdk(variables: Mapping[str, str], command: str, *options: str) -> None:
    file = log(command)
    with file.open("wb") as output:
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                [str(folders.cdk()), command, *options, "--no-notices"],
                cwd=folders.root(),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            done = None
    if done is not None and done.returncode == 0:
        return
    fate = f"exit code {done.returncode}" if done else f"not done after {_LIMIT_SECONDS} seconds"
    emulator = log("emulator")
    raise UserError(
        "\n".join(
            [
                f"cdk {command} failed on the local cloud ({fate}):",
                *(f"  {line}" for line in reasons(file.read_text(errors="replace"))),
                f"Its full output is in {shown(file)}, the emulator's in {shown(emulator)}.",
                "Correct the error, then: celeriac local up. Or begin with an empty cloud: celeriac local reset",
            ]
        )
    )


def reasons(output: str) -> list[str]:
    """At most eight lines of `cdk`'s output that say why it failed. If no line is recognised, the last eight."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = list(dict.fromkeys(line for line in lines if _REASONS.search(line)))
    return (telling or lines)[-8:]


def _complete() -> None:
    """Enable TTL, which MiniStack's CloudFormation ignores. Verify the sender in SES, as a person does once on AWS."""
    import boto3  # noqa: PLC0415 - takes half a second, which `make down` doesn't need

    ses, dynamodb = boto3.client("ses"), boto3.client("dynamodb")
    ses.verify_domain_identity(Domain=SENDER.partition("@")[2])
    for name, attribute in expiries(folders.assembly()).items():
        current = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if current["TimeToLiveStatus"] == "DISABLED":
            dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
            )


def expiries(assembly: Path) -> dict[str, str]:
    """The TTL attribute of each table whose template enables TTL."""
    resources: list[dict[str, Any]] = [
        resource
        for template in assembly.glob("*.template.json")
        for resource in json.loads(template.read_text())["Resources"].values()
    ]
    tables = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::DynamoDB::Table"]
    return {
        table["TableName"]: table["TimeToLiveSpecification"]["AttributeName"]
        for table in tables
        if table.get("TimeToLiveSpecification", {}).get("Enabled")
    }
