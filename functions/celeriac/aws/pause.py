"""Waiting, in one place, so that a test's sandbox can let virtual time pass instead."""

import time

wait = time.sleep
