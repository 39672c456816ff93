"""Django with a database in memory."""

import os
from collections.abc import Iterator

import django
import pytest
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment

from celeriac.testing import Sandbox

os.environ |= {"DJANGO_SETTINGS_MODULE": "shop.settings", "SHOP_DATABASE": ":memory:"}
django.setup()
setup_test_environment()


@pytest.fixture(scope="session")
def _database() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture
def client(sandbox: Sandbox, _database: None) -> Iterator[Client]:
    """The application's test client. Its transactions are real: `on_commit` runs after the commit."""
    yield Client()
    call_command("flush", interactive=False, verbosity=0)
