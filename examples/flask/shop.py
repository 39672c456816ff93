"""Shrinks pictures, tells their state, and takes orders."""

from typing import Any

from flask import Flask, abort, request

import celeriac
from celeriac import ConditionFailedError, InvalidArgumentsError
from shop_tasks.work import shrink

PRICES = {"cup": 900, "jug": 2400}


def create_app(stage: str | None = None) -> Flask:
    """Make the application. It makes no client of AWS: gunicorn may call it before it forks (`--preload`).

    stage: where the tasks go; by default what the variable CELERIAC_STAGE says.
    """
    celeriac.configure(stage=stage, application="shop")
    app = Flask(__name__)

    @app.post("/pictures")
    def order_copy() -> tuple[dict[str, str], int]:
        """Enqueue the task. When `enqueue` returns, SQS has the message."""
        try:
            handle = shrink.enqueue(**request.get_json())
        except (InvalidArgumentsError, TypeError) as error:
            abort(422, str(error))
        return {"id": handle.id}, 202

    @app.get("/pictures/<id>")
    def picture(id: str) -> dict[str, Any]:  # noqa: A002 - the task's id
        """Tell the state of a copy, by the `id` of the first answer. Before its first run it is `unknown`."""
        status = shrink.handle(id=id).status()
        return {"state": "waiting" if status.state == "unknown" else status.state, "result": status.result}

    @app.post("/orders/<order>")
    def place(order: str) -> tuple[dict[str, str], int]:
        """Write the order and its event: both, or neither if this function raises."""
        asked = request.get_json()
        try:
            with celeriac.transaction() as tx:
                tx.emit("order.placed", {"order": order, "email": asked["email"]}, aggregate=order)
                if asked["article"] not in PRICES:
                    abort(422, "no such article")  # nothing is written
                item = {"pk": order, "article": asked["article"], "cents": PRICES[asked["article"]]}
                tx.put("orders", item, condition="attribute_not_exists(pk)")
        except ConditionFailedError:
            abort(409, "ordered already")
        return {"order": order}, 201

    return app
