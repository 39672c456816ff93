"""Queries of the logs, saved in CloudWatch Logs Insights under `<application>-<stage>/`."""

from collections.abc import Sequence

from aws_cdk import aws_logs as logs
from constructs import Construct

from celeriac.model import names

# The fields, filters and order of each query, by its title.
_ATTEMPTS = ["@timestamp", "queue", "task", "id", "attempt", "outcome", "reason", "error", "milliseconds", "request_id"]
_QUERIES: dict[str, dict[str, object]] = {
    "attempts and output of one task (put its id in)": {
        "fields": [*_ATTEMPTS, "message"],
        "filter_statements": ['id = "ID"'],
        "sort": "@timestamp asc",
    },
    "failed attempts": {
        "fields": _ATTEMPTS,
        "filter_statements": ['outcome = "retried" or outcome = "dead"'],
        "sort": "@timestamp desc",
        "limit": 200,
    },
    "failures by kind": {
        "filter_statements": ['outcome = "retried" or outcome = "dead"'],
        "stats_statements": ["count(*) as attempts, count_distinct(id) as tasks by task, error, outcome, reason"],
        "sort": "attempts desc",
    },
    "how long tasks take": {
        "filter_statements": ['outcome = "succeeded"'],
        "stats_statements": [
            "count(*) as attempts, pct(milliseconds, 50) as p50, pct(milliseconds, 95) as p95 by task",
        ],
        "sort": "p95 desc",
    },
    "hand-backs by cause": {
        "filter_statements": ['outcome = "handed_back" or outcome = "postponed"'],
        "stats_statements": ["count(*) as times by queue, task, why"],
        "sort": "times desc",
    },
    "lost workers": {
        "fields": ["@timestamp", "@log", "@message"],
        "filter_statements": ["@message like /Task timed out|Runtime exited|Runtime[.][A-Z]|worker lost/"],
        "sort": "@timestamp desc",
    },
}


def queries(scope: Construct, groups: Sequence[logs.ILogGroup], stage: str) -> None:
    """Save the queries. Each searches all `groups`."""
    saved = Construct(scope, "Queries")
    for number, (title, query) in enumerate(_QUERIES.items()):
        logs.QueryDefinition(
            saved,
            f"Query{number}",
            query_definition_name=f"{names.prefix(stage)}/{title}",
            query_string=logs.QueryString(**query),  # type: ignore[arg-type]  # the keys are its parameters
            log_groups=list(groups),
        )
