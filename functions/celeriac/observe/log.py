"""Structured logs: Powertools' Logger. Our own lines hold ids, names and numbers only; never a payload, and an error's
text on the local cloud alone. What a task itself prints and logs is its own affair: it gets the task's name, its id and
the attempt added.
"""

import logging
import sys
from hashlib import sha256

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from celeriac.observe.printed import Printed
from celeriac.observe.running import current

# Named by POWERTOOLS_SERVICE_NAME, which the stacks set; POWERTOOLS_LOG_LEVEL may change its level, and that of what
# tasks log. Lambda's filter by level reads no other form of time than RFC 3339.
logger = Logger(use_rfc3339=True, utc=True)
# What these log at lower levels are the requests that we make, payloads included.
OUR_LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "s3transfer", "urllib3")


def tell_of_tasks() -> None:
    """Make every line that a task prints, or logs by Python's `logging`, a line of JSON that says which run it is of.

    Called once by the function that runs tasks, before it loads them: what they make of `sys.stdout` is then this.
    Lambda's own handler of the root logger gives way to one of the same form as `logger`'s: two would double each line.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(use_rfc3339=True, utc=True, serialize_stacktrace=False))
    logging.basicConfig(handlers=[handler], level=logger.log_level, force=True)
    for name in OUR_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    for each in (handler, *logger.handlers):
        each.addFilter(_add_run)
    logging.getLogger(logger.name).propagate = False
    sys.stdout, sys.stderr = Printed(sys.stdout, "stdout"), Printed(sys.stderr, "stderr")


def _add_run(record: logging.LogRecord) -> bool:
    """Add its logger and its run to `record`; what its author has given under a name of the run's goes beside it."""
    given = vars(record)
    given["taskName"] = None  # asyncio's, which says nothing
    if record.name != logger.name:
        given.setdefault("logger", record.name)
    run = current()
    if run is not None:
        for name, value in run.fields.items():
            if given.get(name, value) != value:
                given[f"extra_{name}"] = given[name]
            given[name] = value
    return True


def key_hash(key: str) -> str:
    """What the logs know of an idempotency key: a card or a person may be named in it."""
    return sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]
