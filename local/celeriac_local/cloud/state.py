"""The state of the local cloud between commands: `.celeriac/cloud.json`."""

import json
from dataclasses import asdict, dataclass, replace

from celeriac_local import folders
from celeriac_local.cloud.processes import Process, is_running


@dataclass(frozen=True, slots=True)
class Cloud:
    """A local cloud that was started. It may have died since then: check `is_whole`."""

    port: int
    emulator: Process
    provider_port: int | None = None
    provider: Process | None = None
    """The server that the sample tasks call; None in a project without them."""
    workers: tuple[Process, ...] = ()
    """What runs the tasks of queues on Fargate. One of them may have ended itself: the rest of the cloud goes on."""
    deployed: str | None = None
    """The fingerprint of the last deployed sources; None until the first deployment succeeds."""

    @property
    def is_whole(self) -> bool:
        """Whether all its servers are running."""
        return all(is_running(process) for process in self._servers)

    @property
    def processes(self) -> list[Process]:
        """The processes that were started, in the order in which they should end."""
        return [*self.workers, *self._servers]

    @property
    def _servers(self) -> list[Process]:
        return [self.emulator, *([self.provider] if self.provider is not None else [])]

    @property
    def url(self) -> str:
        """The URL of the emulator."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def provider_url(self) -> str:
        """The URL of the payment provider; empty if there is none."""
        return f"http://127.0.0.1:{self.provider_port}" if self.provider_port is not None else ""

    def with_deployed(self, fingerprint: str | None) -> "Cloud":
        """The same cloud, with another deployment on it."""
        return replace(self, deployed=fingerprint)


def load() -> Cloud | None:
    """The cloud of the state file; None if there is no file, or if this version can't read it."""
    try:
        stored = json.loads(folders.state_file().read_text())
        emulator, provider = Process(**stored.pop("emulator")), stored.pop("provider", None)
        workers = tuple(Process(**each) for each in stored.pop("workers", ()))
        provider = Process(**provider) if provider is not None else None
        return Cloud(**stored, emulator=emulator, provider=provider, workers=workers)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(cloud: Cloud) -> None:
    """Replace the state file in one step, so that after an interruption it is either the old or the new one."""
    unfinished = folders.made_state() / "cloud.new"
    unfinished.write_text(json.dumps(asdict(cloud), indent=2))
    unfinished.replace(folders.state_file())


def forget() -> None:
    """Remove the state file."""
    folders.state_file().unlink(missing_ok=True)
