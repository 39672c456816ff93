"""The shop's orders, in a table with the day as partition key and the order's number as sort key."""

import os
from calendar import monthrange
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FIRST = " "
"""Comes before the number of every order."""
BEFORE_ALL = ["", FIRST]


class Order(NamedTuple):
    """One order."""

    day: str
    number: str
    customer: str
    article: str
    cents: str


def orders_of(month: str, after: list[str]) -> Iterator[Order]:
    """Read the orders of a month, day after day and by number, behind the day and the number in `after`."""
    _, days = monthrange(int(month[:4]), int(month[5:]))
    for day in (f"{month}-{number:02}" for number in range(1, days + 1)):
        if day >= after[0]:
            yield from _orders_of_day(day, after[1] if day == after[0] else FIRST)


def _orders_of_day(day: str, after: str) -> Iterator[Order]:
    """Read page by page. DynamoDB's pages have 1 MB."""
    pages = (
        _dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=os.environ["ORDERS_TABLE"],
            KeyConditionExpression="#day = :day AND #number > :after",
            ExpressionAttributeNames={"#day": "day", "#number": "number"},
            ExpressionAttributeValues={":day": {"S": day}, ":after": {"S": after}},
            ConsistentRead=True,
        )
    )
    for page in pages:
        for item in page["Items"]:
            yield Order(day, item["number"]["S"], item["customer"]["S"], item["article"]["S"], item["cents"]["N"])


@cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb")
