"""Whatever can be declared synthesizes, and AWS takes it; whatever can't work is refused in a sentence.

The declarations are random, some at the edges of AWS's limits, some beyond them. `make synth-fuzz` tries more, and lets
cfn-lint read the templates.
"""

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeriac import Queue, Task
from celeriac.declare import check
from celeriac.model import declared
from celeriac.model.errors import CeleriacError
from celeriac.model.fargate import GIB, SIZES
from celeriac.model.queue import LOG_DAYS
from celeriac.model.stages import Project, StageSettings, Vpc
from celeriac.model.table import Table
from celeriac_cdk.config import ConfigError, StageConfig, read_config
from celeriac_cdk.stacks.stage import synthesize
from celeriac_cdk.stacks.state import StateStack
from celeriac_cdk.stacks.work import WorkStack
from tests.infra import conftest
from tests.infra.limits import of_stage
from tests.infra.template import Stack

LINTED = os.environ.get("CELERIAC_SYNTH_FUZZ")
"""The folder for the templates that cfn-lint is to read."""

_names = st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True) | st.sampled_from(
    ["a", "q" * 37, "relay", "bus", "x-dlq", "a--b", "a-", "Mail", "", "mail.fifo", "schedules"]
)


def _near(*edges: int) -> st.SearchStrategy[int]:
    """Numbers at, beside and between edges."""
    beside = [edge + by for edge in edges for by in (-1, 0, 1)]
    return st.sampled_from(beside) | st.integers(min(edges), max(edges))


def _times(**unit: list[int]) -> st.SearchStrategy[timedelta]:
    ((name, edges),) = unit.items()
    return _near(*edges).map(lambda number: timedelta(**{name: number}))


_numbers: Mapping[str, st.SearchStrategy[Any]] = {
    "fifo": st.booleans(),
    "timeout": _times(seconds=[1, 30, 900]),
    "concurrency": _near(1, 500),
    "max_concurrency": st.none() | _near(2, 1000),
    "pollers": st.none() | st.just(()) | st.tuples(_near(2, 200), _near(2, 10_000)),
    "batch_size": st.none() | _near(1, 10, 10_000),
    "batch_window": _times(seconds=[0, 300]),
    "max_receives": st.none() | _near(5, 1000),
    "retention": _times(hours=[1, 96, 336]),
    "dead_letter_retention": _times(days=[1, 14]),
    "max_age": st.none() | _times(minutes=[1, 60, 20_160]),
    "patience": _times(hours=[0, 24, 400]),
    "max_body_bytes": _near(1024, 262_144, 1_048_576),
    "memory": _near(128, 10_240),
    "ephemeral_storage": _near(512, 10_240),
    "reserved": st.none() | _near(0, 10, 1000),
    "log_retention": st.none()
    | st.sampled_from(LOG_DAYS).map(lambda days: timedelta(days=days))
    | _times(days=[1, 400]),
    "environment": st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
    ),
    "architecture": st.sampled_from(["arm64", "x86_64", "arm"]),
    "retired": st.booleans(),
}
_of_fargate: Mapping[str, st.SearchStrategy[Any]] = {
    **{name: _numbers[name] for name in ("fifo", "concurrency", "retention", "max_age", "architecture", "environment")},
    "timeout": _times(seconds=[1, 36_000]),
    "cpu": st.sampled_from([*SIZES, 300]),
    "memory": st.sampled_from([512, 1024, 2048, 4096, 8192, 32_768, 122_880, 1000]),
    "ephemeral_storage": st.sampled_from([512, 20 * GIB, 21 * GIB, 200 * GIB, 201 * GIB]),
    "workers": st.tuples(_near(0, 3, 100), _near(1, 25, 5000)),
    "image": st.sampled_from(
        ["", "public.ecr.aws/x/y:1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b@sha256:0", "a b"]
    ),
    "batch_size": st.none() | _near(1, 10),
    "pollers": st.just(()),
}


# A few at a time: with all of them, nearly every queue would be refused for one.
def _some(numbers: Mapping[str, st.SearchStrategy[Any]], **always: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(sorted(numbers)), max_size=4, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries(
            {**{name: st.just(value) for name, value in always.items()}, **{name: numbers[name] for name in chosen}}
        )
    )


_queues = st.tuples(_names, _some(_numbers) | _some(_numbers) | _some(_of_fargate, runner="fargate"))
_VPC = Vpc(("subnet-0123456789abcdef0",), ("sg-0123456789abcdef0",))
_task_names = st.text(min_size=1, max_size=60) | st.sampled_from(["a" * 200, "a" * 201, "a#b", "a*b?c$d", "отчёт"])
_crons = st.sampled_from(
    [
        None,
        "rate(1 minute)",
        "rate(0 minutes)",
        "*/5 * * * *",
        "0 3 * * MON",
        "cron(0 3 ? * 2#1 *)",
        "cron(0 25 * * ? *)",
    ]
) | st.from_regex(
    r"cron\([0-9*/,-]{1,5} [0-9*/,-]{1,5} [?*L1-9]{1,2} [A-Z0-9*]{1,3} [?*A-Z1-7#L]{1,3} [*0-9]{1,4}\)", fullmatch=True
)
_tasks = st.tuples(_task_names, _crons, st.integers(0, 99))
_tables = st.tuples(_names, st.text(min_size=1, max_size=8) | st.sampled_from(["pk", "k" * 255, "k" * 256]))
_stages = st.tuples(
    st.sampled_from(["celeriac", "shop", "a", "a" * 7, "a" * 20, "a-b"]),
    st.sampled_from(["prod", "dev", "pr-12345", "eu", "p" * 17, "p" * 4, "live", "local", "prod-"]),
    st.fixed_dictionaries({}, optional={"kms": st.sampled_from([True, False, "prepare"]), "canary": st.booleans()}),
)


class Counted:
    """What a run has tried, so that a generator that makes only nonsense is seen."""

    declared = 0
    refused = 0
    synthesized = 0
    shortest = 1000
    """The characters of the shortest refusal."""


def _declared(make: Any, *arguments: Any, **more: Any) -> Any:
    """The declaration, or None if it is refused in a sentence."""
    Counted.declared += 1
    try:
        return make(*arguments, **more)
    except (CeleriacError, ConfigError) as error:
        Counted.refused += 1
        Counted.shortest = min(Counted.shortest, len(str(error)))
        return None


def _task(name: str, cron: str | None, queue: Queue) -> Task[..., Any, Any]:
    made = conftest.recurring(name, cron, queue=queue)
    check.check(made)
    return made


def _app(stage: str, options: Mapping[str, Any]) -> cdk.App:
    context = {name: str(value).lower() for name, value in options.items()}
    return cdk.App(context={"aws:cdk:bundling-stacks": [], "stage": stage, **context})


def _try(chosen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (application, stage, options), queues, tables, tasks = chosen
    monkeypatch.setenv("CELERIAC_APPLICATION", application)
    app = _app(stage, options)
    config = _declared(read_config, app.node, Project(application, {"*": StageSettings(vpc=_VPC)}))
    made = {queue.name: queue for queue in (_declared(Queue, name, **numbers) for name, numbers in queues) if queue}
    if config is None or not made:
        return
    its_tables = {table.name: table for table in (_declared(Table, *table) for table in tables) if table}
    its_tasks = {
        task.name: task
        for task in (_declared(_task, name, cron, list(made.values())[at % len(made)]) for name, cron, at in tasks)
        if task
    }
    monkeypatch.setattr(conftest, "TABLES", tuple(its_tables.values()))
    monkeypatch.setattr(conftest, "TASKS", tuple(its_tasks.values()))
    if _declared(_synthesized, app, config, list(made.values())) is None:
        return
    Counted.synthesized += 1
    stacks = [Stack(each.stack_name, Template.from_json(each.template)) for each in app.synth().stacks]
    assert of_stage(*stacks) == []
    if LINTED:
        for stack in stacks:
            Path(LINTED, f"{Counted.synthesized}-{stack.name}.template.json").write_text(
                json.dumps(stack.json, ensure_ascii=False)
            )


def _synthesized(app: cdk.App, config: StageConfig, queues: list[Queue]) -> bool:
    with declared.application("tests.application"):
        state = StateStack(
            app,
            config,
            queues=queues,
            tables=conftest.TABLES,
            tasks=conftest.TASKS,
            application=conftest.ApplicationState,
        )
        WorkStack(
            app,
            config,
            queues=queues,
            tables=conftest.TABLES,
            tasks=conftest.TASKS,
            application=conftest.give(config, queues),
            code=lambda *_: lambda_.Code.from_asset(str(Path(__file__).parent)),
            outbox_stream_arn=state.state.outbox_stream_arn,
            key_arn=state.state.key.key_arn if state.state.key is not None else None,
        )
        synthesize(app)
    return True


def test_what_is_declared_can_be_deployed_or_is_refused(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = pytestconfig.getoption("--declarations")

    @settings(
        max_examples=tries,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not LINTED,
        phases=[Phase.generate],  # a synth takes a second, and shrinking hundreds of them
        database=None,
    )
    @given(
        st.tuples(
            _stages,
            st.lists(_queues, min_size=1, max_size=8),
            st.lists(_tables, max_size=4),
            st.lists(_tasks, max_size=12),
        )
    )
    def tried(chosen: Any) -> None:
        _try(chosen, monkeypatch)

    tried()
    assert Counted.shortest > 20
    assert Counted.declared >= 5 * tries
    assert Counted.synthesized >= tries // 5
    assert Counted.declared // 20 < Counted.refused < Counted.declared * 0.9
