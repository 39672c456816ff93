"""The environment variables of the local cloud's processes.

The environment of a process decides which AWS the process calls. So no process gets the AWS variables of a developer's
shell. They are removed first, by kind and not by a list of names. Then the local cloud's variables are set.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from celeriac.model import settings
from celeriac.testing.elsewhere import SHUT, is_proxy, leads_elsewhere
from celeriac_local import folders

STAGE = "local"
REGION = "us-east-1"

ACCESS_KEY = "celeriac-local-cloud"
_HERE = ("127.0.0.1", "localhost")


def endpoint(port: int) -> str:
    """The URL of the emulator."""
    return f"http://127.0.0.1:{port}"


def of_client(port: int) -> dict[str, str]:
    """The variables for a client of the local cloud. They suffice only if no other variable leads elsewhere."""
    url = endpoint(port)
    return SHUT | {
        # The name of the project's application, whatever folder the command is typed in.
        settings.APPLICATION: settings.name_in(folders.root()),
        settings.STAGE: STAGE,
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # If no variable names a proxy, macOS and Windows use the one of the system settings.
        "NO_PROXY": ",".join(_HERE),
        "no_proxy": ",".join(_HERE),
    }


def of_command(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command on the local cloud.

    `base` is the environment of the shell. The shell's variables for AWS and for proxies are left out.
    """
    return {name: value for name, value in base.items() if not leads_elsewhere(name)} | of_client(port)


def enter(port: int) -> None:
    """Set this process's environment to the local cloud's."""
    mine = of_command(port, os.environ)
    os.environ.clear()
    os.environ.update(mine)


def of_cdk(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the CDK command line on the local cloud, with the Node and Python of this environment first.

    The home folder is the local cloud's. In a developer's home folder the CDK would read `~/.cdk.json`, which may name
    a profile. It would also read the account that it has stored there for a key of another emulator.
    """
    return of_command(port, base) | _cdk(base) | {"HOME": str(folders.home()), "CDK_HOME": str(folders.home() / ".cdk")}


def of_synth(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the CDK command line for a synth.

    A synth runs uv to build the bundle. uv may need a proxy, and its files in the user's home folder.
    """
    proxies = {name: value for name, value in base.items() if is_proxy(name)}
    # cron, sudo and containers may not set HOME.
    return {"HOME": str(Path.home())} | of_command(port, base) | _cdk(base) | proxies | _exempt(base)


def _cdk(base: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CI": "true",  # errors to standard error, the rest to standard output
        "NO_COLOR": "1",
    }


def _exempt(base: Mapping[str, str]) -> dict[str, str]:
    """The exceptions from a proxy, with this machine added. Tools differ in which of the two spellings they read."""
    known = base.get("no_proxy") or base.get("NO_PROXY") or ""
    listed = known if known == "*" else ",".join(dict.fromkeys([*filter(None, known.split(",")), *_HERE]))
    return {"NO_PROXY": listed, "no_proxy": listed}


def of_emulator(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the emulator. It has almost nothing from `base`, because the functions inherit all of it.

    An `AWS_ENDPOINT_URL` here would override the one that MiniStack gives its functions.
    """
    return {
        "PATH": base.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folders.home()),
        "TMPDIR": str(folders.temporary()),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",  # otherwise the emulator listens on port 8883
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # The functions inherit LOG_LEVEL. Powertools would apply it and drop the line of each attempt.
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # The local receiver of webhooks has no TLS. No stack sets this variable: on AWS, webhooks go over https only.
        "WEBHOOK_PLAIN_HTTP_HOST": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def of_provider(base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the payment provider, which makes no calls itself."""
    return {name: value for name, value in base.items() if not leads_elsewhere(name)}


def as_shell(port: int, base: Mapping[str, str]) -> str:
    """Lines for `eval` in a POSIX shell with the environment `base`, so that its commands use the local cloud.

    Python finds the tasks in that shell, in any folder, before anything else of their package's name.

    Proxies stay, with this machine as an exception, because uv and git in that shell need them.
    """
    source = str(folders.source_root())
    others = [each for each in base.get("PYTHONPATH", "").split(os.pathsep) if each not in {"", source}]
    variables = of_client(port) | _exempt(base) | {"PYTHONPATH": os.pathsep.join([source, *others])}
    unwanted = sorted(name for name in base if leads_elsewhere(name) and not is_proxy(name) and name not in variables)
    return "\n".join(
        [
            *(f"unset {shlex.quote(name)}" for name in unwanted),
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        ]
    )
