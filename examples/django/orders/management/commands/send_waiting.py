"""`python manage.py send_waiting`, for a cron: every minute or so."""

from typing import Any

from django.core.management.base import BaseCommand

from orders.invoices import send_waiting


class Command(BaseCommand):
    """Send the tasks that were not sent after their commit."""

    help = __doc__

    def handle(self, *_: Any, **__: Any) -> None:
        """Say how many were sent."""
        self.stdout.write(f"{send_waiting()} sent")
