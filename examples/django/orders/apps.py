"""The application `orders`."""

from django.apps import AppConfig
from django.conf import settings

import celeriac


class OrdersConfig(AppConfig):
    """Says once where the tasks go: every process of Django calls `ready`, before it forks and before any request."""

    name = "orders"

    def ready(self) -> None:
        """Without a stage, the first `enqueue` fails with the cure; commands that enqueue nothing need none."""
        celeriac.configure(stage=settings.CELERIAC_STAGE, application="shop")
