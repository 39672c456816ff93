"""The shop's tables in DynamoDB. Its orders are in Django's database."""

from celeriac import Table

stock = Table("stock")
