"""Structured logs, with Powertools' Logger.

The library's own lines contain only ids, names and numbers. They never contain a payload, and contain an error's text
only on the local cloud. A task may print and log anything; the task's name, the message's id and the attempt are added.
"""

import logging
import sys

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from celeriac.observe.printed import Printed
from celeriac.observe.running import current

# POWERTOOLS_SERVICE_NAME, which the stacks set, names the service. POWERTOOLS_LOG_LEVEL may change the level of this
# logger, and of lines that tasks log. Lambda's filter by log level reads times only as RFC 3339 writes them.
logger = Logger(use_rfc3339=True, utc=True)
# At lower levels these libraries log each request that Celeriac makes, payloads included.
OUR_LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "s3transfer", "urllib3")


def tell_of_tasks() -> None:
    """Turn every line that a task prints, or logs by Python's `logging`, into a line of JSON that names its run.

    The function that runs tasks calls this once, before it loads them. So task modules that use `sys.stdout` at import
    find the replaced stream. Lambda's handler of the root logger is replaced by one that writes the same format as
    `logger`: with both handlers each line would come twice.
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
    """Add the logger and the run to `record`.

    If the task's own log call set a field with the name of one of the run's, to another value, that field is renamed to
    `extra_<name>`.
    """
    given = vars(record)
    given["taskName"] = None  # asyncio's generated name of its own task
    if record.name != logger.name:
        given.setdefault("logger", record.name)
    run = current()
    if run is not None:
        for name, value in run.fields.items():
            if given.get(name, value) != value:
                given[f"extra_{name}"] = given[name]
            given[name] = value
    return True
