"""A Lambda function behind an HTTP API: orders reports, tells their state, and takes orders.

The function's environment says where it sends: CELERIAC_APPLICATION, CELERIAC_STAGE, CELERIAC_TASKS. Lambda itself sets
the region and the role's credentials. So it doesn't call `celeriac.configure`.
"""

import json
from typing import Any

import celeriac
from celeriac import ConditionFailedError, InvalidArgumentsError, InvalidReferenceError
from shop_tasks.work import make_report

PRICES = {"cup": 900, "jug": 2400}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a request in the HTTP API's format 2.0."""
    parameters, body = event.get("pathParameters") or {}, json.loads(event.get("body") or "{}")
    match event["routeKey"]:
        case "POST /reports":
            return order_report(body)
        case "GET /reports":
            return report(event["queryStringParameters"]["ref"])
        case "POST /orders/{order}":
            return place(parameters["order"], body)
        case _:
            return _answer(404, error="no such route")


def order_report(asked: dict[str, Any]) -> dict[str, Any]:
    """Enqueue the task. If SQS is slow, Lambda's own timeout ends the request: the caller tries again, and the key
    makes both messages one report.
    """
    try:
        handle = make_report.enqueue(**asked)
    except (InvalidArgumentsError, TypeError) as error:
        return _answer(422, error=str(error))
    return _answer(202, ref=handle.ref)


def report(ref: str) -> dict[str, Any]:
    """Tell the state of a report, by the `ref` of the first answer."""
    try:
        handle = celeriac.handle(ref)
    except (InvalidReferenceError, LookupError):
        return _answer(404, error="no such report")
    if handle.task != make_report.name:  # whoever writes a reference may name any task
        return _answer(404, error="no such report")
    status = handle.status()
    return _answer(200, state=status.state, result=status.result)


def place(order: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Write the order and its event: both, or neither if this function raises."""
    try:
        with celeriac.transaction() as tx:
            tx.emit("order.placed", {"order": order, "email": asked["email"]}, aggregate=order)
            item = {"pk": order, "article": asked["article"], "cents": PRICES[asked["article"]]}
            tx.put("orders", item, condition="attribute_not_exists(pk)")
    except ConditionFailedError:
        return _answer(409, error="ordered already")
    except KeyError as error:  # nothing is written
        return _answer(422, error=f"no such article, or a field is missing: {error}")
    return _answer(201, order=order)


def _answer(status: int, **content: Any) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(content)}
