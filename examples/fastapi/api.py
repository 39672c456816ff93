"""Orders reports, tells their state, and takes orders."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

import celeriac
from celeriac import ConditionFailedError, InvalidReferenceError
from shop_tasks.work import make_report

PRICES = {"cup": 900, "jug": 2400}
PATIENCE = 5.0  # seconds that a caller is kept waiting for SQS


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Say once where the tasks go. Without SHOP_STAGE the server doesn't start."""
    stage = os.environ.get("SHOP_STAGE")
    if not stage:
        raise RuntimeError("SHOP_STAGE is missing: set it to the stage of the tasks, such as SHOP_STAGE=dev")
    celeriac.configure(stage=stage, application="shop")
    yield


api = FastAPI(lifespan=lifespan)


class Report(BaseModel):
    """Which month to report on."""

    month: str


class Order(BaseModel):
    """What is ordered."""

    article: str
    email: str


@api.post("/reports", status_code=202)
async def order_report(report: Report, idempotency_key: Annotated[str | None, Header()] = None) -> dict[str, str]:
    """Enqueue the task. A caller that repeats its request with the same header gets the same report."""
    request = idempotency_key or str(uuid4())
    try:
        async with asyncio.timeout(PATIENCE):
            handle = await make_report.aenqueue(month=report.month, request=request)
    except TimeoutError as error:
        # The message may have been sent all the same. The header makes the caller's next try the same report.
        raise HTTPException(503, "try again, with the same Idempotency-Key", {"Retry-After": "5"}) from error
    return {"ref": handle.ref}


@api.get("/reports")
async def report(ref: str) -> dict[str, Any]:
    """Tell the state of a report, by the `ref` of the first answer. It goes into a query: in a path it may break."""
    try:
        handle = celeriac.handle(ref)
    except (InvalidReferenceError, LookupError) as error:
        raise HTTPException(404, "no such report") from error
    if handle.task != make_report.name:  # whoever writes a reference may name any task
        raise HTTPException(404, "no such report")
    status = await handle.astatus()
    return {"state": status.state, "result": status.result}


@api.post("/orders/{order}", status_code=201)
async def place(order: str, placed: Order) -> dict[str, str]:
    """Write the order and its event: both, or neither if this function raises."""
    try:
        async with celeriac.transaction() as tx:
            tx.emit("order.placed", {"order": order, "email": placed.email}, aggregate=order)
            if placed.article not in PRICES:
                raise HTTPException(422, "no such article")  # nothing is written
            item = {"pk": order, "article": placed.article, "cents": PRICES[placed.article]}
            tx.put("orders", item, condition="attribute_not_exists(pk)")
    except ConditionFailedError as error:
        raise HTTPException(409, "ordered already") from error
    return {"order": order}
