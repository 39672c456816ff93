"""What Fargate lets the workers of a queue have. Pure data."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

ENTRY = "celeriac.entry.worker"
"""The module that a container runs."""
KILLED_AFTER = timedelta(minutes=2)
"""How long after SIGTERM Fargate kills a container, at most:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html"""
READY_VARIABLE = "CELERIAC_READY"
"""The variable that names a file: a worker makes it once it has polled, for the container's health check."""
STOP_TIMEOUT = KILLED_AFTER - timedelta(seconds=10)
"""So long tasks may go on after SIGTERM."""
LOCAL_STOP_TIMEOUT = timedelta(seconds=10)
"""So long on the local cloud: a developer waits for it."""
# SQS lets a message be in flight for 12 hours. The rest is left to hide a message that waits for its next attempt.
LONGEST_TIMEOUT = timedelta(hours=10)
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
SIZES: Mapping[int, Sequence[int]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16_385, 1024),
    4096: range(8192, 30_721, 1024),
    8192: range(16_384, 61_441, 4096),
    16_384: range(32_768, 122_881, 8192),
}
"""The memory in MB that goes with so many units of CPU."""
GIB = 1024
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
STORAGE_RANGE = range(21 * GIB, 200 * GIB + 1)
"""The storage that one can ask for, in MB. Without asking there are 20 GiB."""
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
MOST_WORKERS = 5000
# A registry, a path, and a tag or digest. More is known only to the registry.
_IMAGE = re.compile(r"[\w.\-/:@]{1,512}")


def problems_of_size(cpu: int, memory: int, storage: int, *, usual: int) -> Iterator[str]:
    """Yield what Fargate doesn't take. `memory` and `storage` are in MB; `usual` is the storage if nobody asks."""
    if cpu not in SIZES:
        yield f"cpu is {cpu}, Fargate takes {', '.join(map(str, SIZES))} (1024 are one core)"
    elif memory not in SIZES[cpu]:
        yield (
            f"memory is {memory}, and with cpu={cpu} Fargate takes {_in_words(SIZES[cpu])} MB: choose one of these, or "
            f"another cpu{_that_fits(memory)}"
        )
    if storage != usual and (storage not in STORAGE_RANGE or storage % GIB):
        yield (
            f"ephemeral_storage is {storage}, Fargate takes whole GiB from {STORAGE_RANGE[0]} to {STORAGE_RANGE[-1]} "
            "MB: leave it out for 20 GiB"
        )


def problems_of_workers(workers: object) -> Iterator[str]:
    """Yield what is wrong with the fewest and the most workers."""
    if isinstance(workers, tuple) and [type(each) for each in workers] == [int, int]:
        fewest, most = workers
        if 0 <= fewest <= most and 1 <= most <= MOST_WORKERS:
            return
    yield (
        f"workers is {workers!r}, write the fewest and the most, such as (0, 10): 0 or more, fewest first, at most "
        f"{MOST_WORKERS}"
    )


def problems_of_image(image: object) -> Iterator[str]:
    """Yield what is wrong with the name of an image."""
    if not isinstance(image, str) or (image and not _IMAGE.fullmatch(image)):
        yield f"image is {image!r}, write an image's name, such as public.ecr.aws/docker/library/python:3.13-slim"


def _in_words(sizes: Sequence[int]) -> str:
    if isinstance(sizes, range):
        return f"{sizes[0]} to {sizes[-1]} in steps of {sizes.step}"
    return ", ".join(map(str, sizes))


def _that_fits(memory: int) -> str:
    fitting = next((cpu for cpu, sizes in SIZES.items() if memory in sizes), None)
    return f", such as {fitting}" if fitting is not None else ""
