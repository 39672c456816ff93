"""Takes guards out of a copy of the library, one at a time. `make kill` must find each of them missing."""

from typing import NamedTuple

from tests.kill.bundle import Edit


class Sabotage(NamedTuple):
    what: str
    edit: Edit
    scene: str
    """The scene that must show it."""


SABOTAGES = (
    Sabotage(
        "a worker commits after it has lost its lease",
        Edit(
            "celeriac/leases/store.py",
            """a run that ends after its timeout is too late.
            "ConditionExpression": "#token = :token AND #status = :inprogress",""",
            """a run that ends after its timeout is too late.
            "ConditionExpression": "#token = :token OR #status = :inprogress OR attribute_exists(id)",""",
        ),
        "fail_once",
    ),
    Sabotage(
        "a retry is recorded before it is sent",
        Edit(
            "celeriac/consume/settle.py",
            """    if not queue.fifo:
        with _noted(""",
            """    if lease is not None and failure is not None:
        lease.retrying(failure, due, charged=retried.charged)
    if not queue.fifo:
        with _noted(""",
        ),
        "fail_once",
    ),
    Sabotage(
        "a message without a record is acknowledged before its retry is sent",
        Edit(
            "celeriac/consume/handler.py",
            """            settled = settle(outcome, received)
            if received.follows""",
            """            if not isinstance(outcome, Dead) and getattr(outcome, "lease", "") is None:
                self._delete([sqs_record])
            settled = settle(outcome, received)
            if received.follows""",
        ),
        "notify",
    ),
    Sabotage(
        "a worker's death is charged as an attempt",
        Edit("celeriac/leases/lease.py", "else wanted.attempt\n", "else wanted.attempt + attempted.deaths\n"),
        "pay",
    ),
    Sabotage(
        "a task that may run once runs again after a death",
        Edit("celeriac/consume/claiming.py", 'if task.guarantee == "at_most_once":', "if False:"),
        "launch",
    ),
    Sabotage(
        "a group goes on behind a message that isn't done",
        Edit(
            "celeriac/consume/handler.py",
            "            if queue.fifo and (isinstance(settled, RunAlone) or not settled.acknowledged):",
            "            if False:",
        ),
        "group",
    ),
    Sabotage(
        "a transaction doesn't record its task's success",
        Edit("celeriac/enqueue/transaction.py", "        if lease is None:\n", "        if True:\n"),
        "fail_once",
    ),
    Sabotage(
        "a worker outside of Lambda acknowledges its messages before they have run",
        Edit(
            "celeriac/worker/poller.py",
            "                batch.run()\n",
            """                batch._delete([record for record, _ in batch._sqs_records])
                batch.run()
""",
        ),
        "develop",
    ),
    Sabotage(
        "a heartbeat takes back a lease that another worker has",
        Edit(
            "celeriac/leases/store.py",
            '        """Hold the lease until then. Raises LeaseLostError."""\n',
            """        client("dynamodb").update_item(
            **self.place,
            UpdateExpression="SET #status = :status, #token = :token",
            ExpressionAttributeNames={"#status": "status", "#token": "token"},
            ExpressionAttributeValues={":status": {"S": INPROGRESS}, ":token": {"S": self.token}},
        )
""",
        ),
        "cut",
    ),
    Sabotage(
        "no heart beats",
        Edit("celeriac/worker/poller.py", ", self._around(heartbeat):", ":"),
        "screen",
    ),
    Sabotage(
        "a worker that is told to end gives back what has begun",
        Edit(
            "celeriac/consume/handler.py",
            "if not self._begun.setdefault(record.message_id, False)]",
            "if self._begun.update({record.message_id: False}) is None]",
        ),
        "screen",
    ),
    Sabotage(
        "a worker that is told to end gives up what runs",
        Edit("celeriac/worker/process.py", "        came.append(number)\n", "        os._exit(0)\n"),
        "sell",
    ),
)
