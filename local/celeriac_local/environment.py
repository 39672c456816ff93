"""The environments of the local cloud's processes.

What reaches a process decides whose AWS it talks to. So none of them gets what a developer's shell says of AWS: all of
it is taken away first, by kind and not by name, and then the local cloud's is set.
"""

import os
import shlex
from collections.abc import Mapping

from celeriac.testing.elsewhere import SHUT, is_proxy, leads_elsewhere
from celeriac_local.folders import HOME, ROOT, TEMPORARY

STAGE = "local"
REGION = "us-east-1"

ACCESS_KEY = "celeriac-local-cloud"
_HERE = ("127.0.0.1", "localhost")


def endpoint(port: int) -> str:
    """Where the emulator answers."""
    return f"http://127.0.0.1:{port}"


def of_client(port: int) -> dict[str, str]:
    """What a client sets to talk to the local cloud. It is enough only where nothing else leads elsewhere."""
    url = endpoint(port)
    return SHUT | {
        "CELERIAC_STAGE": STAGE,
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # Where no variable names a proxy, macOS and Windows ask the system for one.
        "NO_PROXY": ",".join(_HERE),
        "no_proxy": ",".join(_HERE),
    }


def of_command(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """A command's on the local cloud, whatever `base`, the environment of its shell, says of AWS and of proxies."""
    return {name: value for name, value in base.items() if not leads_elsewhere(name)} | of_client(port)


def enter(port: int) -> None:
    """Make this very process one of the local cloud's."""
    mine = of_command(port, os.environ)
    os.environ.clear()
    os.environ.update(mine)


def of_cdk(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The CDK command line's, when it talks to the local cloud: with the Node and Python of `.venv` first.

    Its home folder is the local cloud's: in a developer's own it finds `~/.cdk.json`, which may name a profile, and the
    account that another emulator gave to a key.
    """
    return of_command(port, base) | _cdk(base) | {"HOME": str(HOME), "CDK_HOME": str(HOME / ".cdk")}


def of_synth(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The CDK command line's when it synthesizes: uv then builds the bundle, and may need a proxy and its own files."""
    proxies = {name: value for name, value in base.items() if is_proxy(name)}
    return of_command(port, base) | _cdk(base) | proxies | _exempt(base)


def _cdk(base: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CI": "true",  # errors to standard error, the rest to standard output
        "NO_COLOR": "1",
    }


def _exempt(base: Mapping[str, str]) -> dict[str, str]:
    """The exceptions from a proxy, with this machine among them. Tools differ in which spelling they look at."""
    known = base.get("no_proxy") or base.get("NO_PROXY") or ""
    listed = known if known == "*" else ",".join(dict.fromkeys([*filter(None, known.split(",")), *_HERE]))
    return {"NO_PROXY": listed, "no_proxy": listed}


def of_emulator(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """The emulator's, next to nothing of `base`, since its functions inherit everything.

    An `AWS_ENDPOINT_URL` here would beat the one that MiniStack gives its functions.
    """
    return {
        "PATH": base.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(HOME),
        "TMPDIR": str(TEMPORARY),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "IOT_MTLS_ENABLED": "0",  # it would listen on 8883
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # LOG_LEVEL reaches the functions as well, where Powertools would heed it and drop the line of each attempt.
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # The receiver of webhooks here speaks no TLS. No stack sets this: on AWS a webhook goes out over https alone.
        "WEBHOOK_PLAIN_HTTP_HOST": "127.0.0.1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def of_provider(base: Mapping[str, str]) -> dict[str, str]:
    """The payment provider's, which talks to nobody."""
    return {name: value for name, value in base.items() if not leads_elsewhere(name)}


def as_shell(port: int, base: Mapping[str, str]) -> str:
    """Lines for `eval` in a POSIX shell whose environment is `base`, to make it one of the local cloud's.

    Proxies stay, with this machine as an exception: whoever works in that shell needs them for uv and git.
    """
    variables = of_client(port) | _exempt(base)
    unwanted = sorted(name for name in base if leads_elsewhere(name) and not is_proxy(name) and name not in variables)
    return "\n".join(
        [
            *(f"unset {shlex.quote(name)}" for name in unwanted),
            *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        ]
    )
