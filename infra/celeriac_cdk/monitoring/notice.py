"""The text of an alarm: it reaches a tired person as a mail, when the alarm begins and again when it ends."""

from dataclasses import dataclass

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
MOST_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """What happened, what it means, what to type, and when the alarm ends: sentences, each in full."""

    happened: str
    means: str
    do: str
    ends: str
    """Completes `It ends when`."""
    entry: str
    """An anchor of the runbook."""

    def text(self, runbook: str) -> str:
        """Return the alarm's description, with the link to the page `runbook`."""
        return f"{self.happened} {self.means} {self.do} It ends when {self.ends}. {runbook}#{self.entry}"
