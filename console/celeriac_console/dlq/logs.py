"""Where the logs of a dead letter are."""

import json

from celeriac.dead_letters.dead_letter import DeadLetter
from celeriac_console.terminal.text import line


def log_query(letter: DeadLetter) -> dict[str, str]:
    """The log group, and the query for CloudWatch Logs Insights. Empty if no function of ours gave up on the letter."""
    failure = letter.failure
    if failure is None or not failure.function:
        return {}
    wanted = f'id = {json.dumps(line(letter.id))} or @requestId = "{failure.request_id}"'
    query = f"fields @timestamp, level, message, outcome, attempt, error | filter {wanted} | sort @timestamp"
    return {"log_group": f"/aws/lambda/{failure.function}", "query": query}
