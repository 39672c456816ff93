"""The stages that are deployed in this account and region."""

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.aws.client import client
from celeriac.declare import registry


def stages() -> str:
    """A sentence with the deployed stages, for a user who named another one. Empty if AWS doesn't list the queues."""
    try:
        urls = client("sqs").list_queues(QueueNamePrefix="celeriac-").get("QueueUrls", [])
    except (BotoCoreError, ClientError):
        return ""
    ours = registry.queues()
    names = [url.rpartition("/")[2].removeprefix("celeriac-").removesuffix(".fifo") for url in urls]
    found = sorted({name.removesuffix(f"-{queue}") for name in names for queue in ours if name.endswith(f"-{queue}")})
    return f" Stages here: {', '.join(found)}." if found else " No stage is deployed here."
