"""Waiting, in one place: where a test's sandbox lets virtual time pass instead."""

import time

wait = time.sleep
