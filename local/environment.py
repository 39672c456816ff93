"""The environments of the local cloud's processes.

Three, because what reaches a process decides whose AWS it talks to: the emulator's own (its functions inherit all of
it), the one of every client on this machine, and the CDK command line's.
"""

import os
import shlex
from collections.abc import Mapping

from local.folders import HOME, ROOT, TEMPORARY

STAGE = "local"
REGION = "us-east-1"

ACCESS_KEY = "celeriac-local-cloud"
"""The CDK CLI caches the account of each access key in the home folder, so no other emulator may use this one."""


def endpoint(port: int) -> str:
    """Where the emulator answers."""
    return f"http://127.0.0.1:{port}"


def of_client(port: int) -> dict[str, str]:
    """What a producer, the console or a test sets to talk to the local cloud, and to nothing else."""
    url = endpoint(port)
    return {
        "CELERIAC_STAGE": STAGE,
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # A developer's profile could name another endpoint or role.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def of_cdk(port: int, base: Mapping[str, str]) -> dict[str, str]:
    """`base` without any AWS of its own, with the local cloud's, and with the Node and Python of `.venv` first."""
    binaries = ROOT / ".venv" / "bin"
    return (
        without_aws(base)
        | of_client(port)
        | {
            "PATH": f"{binaries}{os.pathsep}{base.get('PATH', os.defpath)}",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CI": "true",  # errors to standard error, the rest to standard output
            "NO_COLOR": "1",
        }
    )


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


def without_aws(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without what would send a client to somebody's real account."""
    return {name: value for name, value in base.items() if not name.startswith(("AWS_", "CDK_"))}


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines for `eval` in any POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
