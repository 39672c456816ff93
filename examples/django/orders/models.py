"""What Django's database holds."""

from django.db import models


class Order(models.Model):
    """An order, and whether its invoice's task was sent."""

    article = models.CharField(max_length=20)
    cents = models.PositiveIntegerField()
    placed_at = models.DateTimeField(auto_now_add=True)
    is_sent = models.BooleanField(default=False, db_index=True)
