"""Celeriac's producer: python with_celeriac.py at_least_once|effectively_once"""

import sys
import time

from driver import serve

from tasks import bench

task = {"at_least_once": bench.at_least_once, "effectively_once": bench.effectively_once}[sys.argv[1]]


def enqueue(count: int) -> None:
    if count == 1:
        task.enqueue(sent=time.time())
    else:
        task.enqueue_many({"sent": time.time()} for _ in range(count))


if __name__ == "__main__":
    serve(enqueue)
