"""The shop's tables in DynamoDB."""

from celeriac import Table

orders = Table("orders")
