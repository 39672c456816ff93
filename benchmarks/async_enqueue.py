"""A thousand `aenqueue` at once against a fake of SQS that takes 20 ms: rate, and the event loop's longest stall.

    python benchmarks/async_enqueue.py [--calls N] [--latency MS] [--pairs N] [--threads N ...]

The fake runs in a process of its own. Each side runs in a fresh process, and the sides take turns. Each process sends
once before it measures, so that imports and clients are made. `default` is the default executor of the loop. With
`aiobotocore` installed in another environment, `--aiobotocore PYTHON` adds a side that calls it directly.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__)
TICK = 0.001


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
            await reader.readexactly(int(fields[b"content-length"]))
            host = fields[b"host"].decode()
            is_url = fields[b"x-amz-target"].endswith(b"getqueueurl")
            body = json.dumps({"QueueUrl": f"http://{host}/000000000000/jobs"} if is_url else {"MessageId": "m"})
            await asyncio.sleep(latency)
            kind = "application/x-amz-json-1.0"
            head_out = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write((head_out + body).encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve(latency: float) -> None:
    server = await asyncio.start_server(lambda r, w: _answer(r, w, latency), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _measured(call: Any, calls: int) -> dict[str, float]:
    """Make the calls at once. A task that ticks every millisecond notes the longest time without a tick."""
    stall, over = 0.0, False

    async def tick() -> None:
        nonlocal stall
        last = time.perf_counter()
        while not over:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            stall, last = max(stall, now - last - TICK), now

    await call(-1)
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call(i) for i in range(calls)))
    took = time.perf_counter() - began
    over = True
    await ticking
    used = time.process_time() - cpu
    return {"rate": calls / took, "stall": stall * 1000, "cpu": used / calls * 1000}


async def _threads(calls: int, threads: str) -> dict[str, float]:
    # The environment of `--aiobotocore` hasn't it.
    from celeriac import Queue, task  # noqa: PLC0415
    from celeriac.execute import off_loop  # noqa: PLC0415

    @task(Queue("jobs"))
    def work(number: int, text: str) -> None: ...

    if threads == "default":

        async def call(number: int) -> object:
            return await asyncio.to_thread(work.enqueue, number, "x" * 200)
    else:
        off_loop.THREADS = int(threads)

        async def call(number: int) -> object:
            return await work.aenqueue(number, "x" * 200)

    return await _measured(call, calls)


async def _aiobotocore(calls: int) -> dict[str, float]:
    # Of another environment, which has no Celeriac on its path.
    from aiobotocore.config import AioConfig  # type: ignore[import-not-found]  # noqa: PLC0415
    from aiobotocore.session import get_session  # type: ignore[import-not-found]  # noqa: PLC0415

    config = AioConfig(max_pool_connections=1000, parameter_validation=False)
    async with get_session().create_client("sqs", region_name="eu-west-1", config=config) as sqs:
        url = (await sqs.get_queue_url(QueueName="jobs"))["QueueUrl"]

        async def call(number: int) -> object:
            body = json.dumps({"task": "work", "args": {"number": number, "text": "x" * 200}, "id": "0" * 36})
            return await sqs.send_message(QueueUrl=url, MessageBody=body)

        return await _measured(call, calls)


def _side(name: str, python: str, port: int, calls: int) -> dict[str, float]:
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "CELERIAC_STAGE": "bench",
        "CELERIAC_APPLICATION": "bench",
        "NO_PROXY": "127.0.0.1",
    }
    command = [python, str(HERE), "--calls", str(calls), "--side", name]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=1000)
    options.add_argument("--latency", type=int, default=20)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--threads", nargs="+", default=["default", "16", "32", "64", "128"])
    options.add_argument("--aiobotocore", metavar="PYTHON")
    options.add_argument("--side")
    options.add_argument("--serve", action="store_true")
    given = options.parse_args()
    if given.serve:
        asyncio.run(_serve(given.latency / 1000))
    elif given.side is not None:
        side = _aiobotocore(given.calls) if given.side == "aiobotocore" else _threads(given.calls, given.side)
        print(json.dumps(asyncio.run(side)))
    else:
        serve = [sys.executable, str(HERE), "--serve", "--latency", str(given.latency)]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            sides = dict.fromkeys(given.threads, sys.executable)
            if given.aiobotocore:
                sides["aiobotocore"] = given.aiobotocore
            found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
            try:
                for _ in range(given.pairs):
                    for name, python in sides.items():
                        found[name].append(_side(name, python, port, given.calls))
            finally:
                server.terminate()
        print("side          calls/s  (each run)                     longest stall ms  (each run)      CPU ms a call")
        for name, runs in found.items():
            rates, stalls = [run["rate"] for run in runs], [run["stall"] for run in runs]
            cpu = statistics.median(run["cpu"] for run in runs)
            each, stalled = " ".join(f"{rate:.0f}" for rate in rates), " ".join(f"{stall:.0f}" for stall in stalls)
            middle = f"{statistics.median(rates):8.0f}  {each:30} {statistics.median(stalls):9.0f}"
            print(f"{name:12} {middle}  {stalled:20} {cpu:.2f}")


if __name__ == "__main__":
    main()
