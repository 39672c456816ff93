"""What all requests of the page share: whom it works as, the state of the stage, the letters that were read."""

from dataclasses import dataclass, field

from celeriac_console.web.identity import Identity
from celeriac_console.web.jobs.jobs import Jobs
from celeriac_console.web.letters.cache import Letters
from celeriac_console.web.letters.previews import Previews
from celeriac_console.web.live.answers import Answers
from celeriac_console.web.live.stage import LiveStage


@dataclass(frozen=True, slots=True)
class Shared:
    """Made once, when the page starts."""

    identity: Identity
    live: LiveStage = field(default_factory=LiveStage)
    answers: Answers = field(default_factory=Answers)
    letters: Letters = field(default_factory=Letters)
    previews: Previews = field(default_factory=Previews)
    jobs: Jobs = field(default_factory=Jobs)
