"""What runs around every task."""

from shop_tasks.callbacks import Callbacks

hooks = [Callbacks()]
