"""The machines that a bundle can be built for."""

import sys
from dataclasses import dataclass

from celeriac.model.queue import DEFAULT_RUNTIME


@dataclass(frozen=True, slots=True)
class Target:
    """The machine and the Python that the packages have to run on."""

    name: str
    uv_platform: str | None
    """uv's name of the platform. None means the platform of this interpreter."""
    python: str = "3.13"
    """The minor version of Python."""
    docker_platform: str = ""
    """Docker's name of the platform."""

    @property
    def described(self) -> str:
        """As a sentence names it."""
        return "this machine" if self.uv_platform is None else f"{self.name.partition('-')[0]} and Python {self.python}"

    @property
    def has_our_byte_code(self) -> bool:
        """Whether this interpreter makes the byte code that the target loads."""
        return self.python == _OURS


_OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The runtimes of Python are Amazon Linux 2023. Its glibc is 2.34, which also runs wheels for older versions.
_PLATFORMS = {"arm64": ("aarch64-manylinux_2_34", "linux/arm64"), "x86_64": ("x86_64-manylinux_2_34", "linux/amd64")}


def on_lambda(architecture: str, runtime: str = DEFAULT_RUNTIME) -> Target:
    """Return Lambda's machine of an architecture and a runtime, such as `arm64` and `python3.13`."""
    uv_platform, docker_platform = _PLATFORMS[architecture]
    return Target(f"{architecture}-{runtime}", uv_platform, runtime.removeprefix("python"), docker_platform)


THIS_MACHINE = Target("this-machine", None, _OURS)
LAMBDA_ARM64 = on_lambda("arm64")
LAMBDA_X86_64 = on_lambda("x86_64")
