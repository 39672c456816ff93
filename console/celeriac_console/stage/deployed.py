"""The stages that are deployed in this account and region."""

from botocore.exceptions import BotoCoreError, ClientError

from celeriac.aws.client import client
from celeriac.model import settings


def stages() -> str:
    """A sentence with the deployed stages, for a user who named another one. Empty if AWS doesn't list the queues."""
    start = f"{settings.application()}-"
    try:
        urls = client("sqs").list_queues(QueueNamePrefix=start).get("QueueUrls", [])
    except (BotoCoreError, ClientError):
        return ""
    names = (url.rpartition("/")[2].removeprefix(start) for url in urls)
    found = sorted({name.partition("--")[0] for name in names if "--" in name})
    return f" Stages here: {', '.join(found)}." if found else " No stage is deployed here."
