"""Whether Lambda has taken the timeouts that its documentation doesn't promise."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from celeriac.aws.client import error_code
from celeriac.declare import registry
from celeriac.model import lambda_timeouts, project, settings
from celeriac.model.failure import error_type
from celeriac.model.queue import Queue
from celeriac_console.doctor.finding import Finding
from celeriac_console.explain import DENIED
from celeriac_console.stage.clients import client
from celeriac_console.terminal.next_steps import deploy_it


def timeouts() -> Iterator[Finding]:
    """What Lambda has taken, for each queue with a timeout beyond the documented one. Of the others it asks nothing."""
    stage = project.read(Path.cwd()).stage(settings.stage())
    for declared in registry.queues().values():
        queue = stage.applied(declared, settings.FILE)
        if queue.timeout > lambda_timeouts.DOCUMENTED and not queue.is_on_fargate:
            yield _timeout(queue)


def _timeout(queue: Queue) -> Finding:
    taken = _taken(queue)
    source = lambda_timeouts.LIMITS[queue.timeout_stands_on].source
    if taken == queue.timeout:
        return Finding("timeout", queue.name, f"{queue.timeout}, and Lambda has taken it")
    has = f"its function has {taken}" if taken is not None else "it isn't deployed"
    state = f"{queue.timeout} stands on {source}, and {has}. Service Quotas {_quota()}"
    refused = f"if Lambda refuses the timeout, set {lambda_timeouts.DOCUMENTED} or less"
    return Finding("timeout", queue.name, state, f"{deploy_it()}; {refused}")


def _taken(queue: Queue) -> timedelta | None:
    """The timeout of the deployed function; None if there is none."""
    try:
        found = client("lambda").get_function_configuration(FunctionName=queue.function_name(settings.stage()))
    except Exception as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        return None
    return timedelta(seconds=found["Timeout"])


def _quota() -> str:
    """What Service Quotas says of a function's timeout."""
    try:
        pages = client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="lambda")
        quotas: list[Any] = [quota for page in pages for quota in page["Quotas"]]
    except Exception as error:
        code = error_code(error)
        if code in DENIED:
            raise
        return f"can't be seen: {code or error_type(error)}"  # the local cloud has none, and neither has every region
    found = next((quota for quota in quotas if quota["QuotaName"].lower() == "function timeout"), None)
    return f"has {found['Value']:,.0f} {found.get('Unit', '').lower()}".strip() if found else "has no quota for it"
