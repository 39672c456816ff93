"""The shop's orders, in a table with the month as partition key and the order's number as sort key."""

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BEFORE_ALL = " "
"""Is before the number of every order."""


class Order(NamedTuple):
    """One order."""

    number: str
    customer: str
    article: str
    cents: str


def orders_of(month: str, after: str = BEFORE_ALL) -> Iterator[Order]:
    """Read the orders of a month behind the number `after`, in the order of their numbers, page by page."""
    pages = (
        _dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=os.environ["ORDERS_TABLE"],
            KeyConditionExpression="#month = :month AND #number > :after",
            ExpressionAttributeNames={"#month": "month", "#number": "number"},
            ExpressionAttributeValues={":month": {"S": month}, ":after": {"S": after}},
            ConsistentRead=True,
        )
    )
    for page in pages:
        for item in page["Items"]:
            yield Order(item["number"]["S"], item["customer"]["S"], item["article"]["S"], item["cents"]["N"])


@cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb")
