"""The state of the local cloud between commands: `.local/cloud.json`."""

import json
from dataclasses import asdict, dataclass, replace

from celeriac_local.cloud.processes import Process, is_running
from celeriac_local.folders import STATE, STATE_FILE


@dataclass(frozen=True, slots=True)
class Cloud:
    """A local cloud that was started. It may have died since then: check `is_whole`."""

    port: int
    emulator: Process
    provider_port: int
    provider: Process
    deployed: str | None = None
    """The fingerprint of the last deployed sources; None until the first deployment succeeds."""

    @property
    def is_whole(self) -> bool:
        """Whether all its processes are running."""
        return is_running(self.emulator) and is_running(self.provider)

    @property
    def url(self) -> str:
        """The URL of the emulator."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def provider_url(self) -> str:
        """The URL of the payment provider."""
        return f"http://127.0.0.1:{self.provider_port}"

    def with_deployed(self, fingerprint: str | None) -> "Cloud":
        """The same cloud, with another deployment on it."""
        return replace(self, deployed=fingerprint)


def load() -> Cloud | None:
    """The cloud of the state file; None if there is no file, or if this version can't read it."""
    try:
        stored = json.loads(STATE_FILE.read_text())
        emulator, provider = (Process(**stored.pop(name)) for name in ("emulator", "provider"))
        return Cloud(**stored, emulator=emulator, provider=provider)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(cloud: Cloud) -> None:
    """Replace the state file in one step, so that after an interruption it is either the old or the new one."""
    STATE.mkdir(exist_ok=True)
    unfinished = STATE_FILE.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(cloud), indent=2))
    unfinished.replace(STATE_FILE)


def forget() -> None:
    """Remove the state file."""
    STATE_FILE.unlink(missing_ok=True)
