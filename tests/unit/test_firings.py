from datetime import UTC, datetime, timedelta

import pytest

from celeriac.model.firings import is_followed, is_late, next_after

START = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("schedule", "timezone", "expected"),
    [
        ("rate(1 minute)", "UTC", "2026-01-01T12:31"),
        ("rate(5 hours)", "UTC", "2026-01-01T17:30"),
        ("rate(2 days)", "UTC", "2026-01-03T12:30"),
        ("cron(* * * * ? *)", "UTC", "2026-01-01T12:31"),
        ("cron(0/15 8-17 ? * MON-FRI *)", "UTC", "2026-01-01T12:45"),
        ("cron(0 3 * * ? *)", "UTC", "2026-01-02T03:00"),
        ("cron(0 3 * * ? *)", "Europe/Berlin", "2026-01-02T02:00"),
        ("cron(0 3 ? * SUN *)", "UTC", "2026-01-04T03:00"),
        ("cron(0 3 ? * 1 *)", "UTC", "2026-01-04T03:00"),
        ("cron(0 3 ? * SAT-MON *)", "UTC", "2026-01-03T03:00"),
        ("cron(0 3 ? * L *)", "UTC", "2026-01-03T03:00"),
        ("cron(0 3 ? * 2#3 *)", "UTC", "2026-01-19T03:00"),
        ("cron(0 3 ? * FRIL *)", "UTC", "2026-01-30T03:00"),
        ("cron(0 3 L * ? *)", "UTC", "2026-01-31T03:00"),
        ("cron(0 0 29 2 ? *)", "UTC", "2028-02-29T00:00"),
        ("cron(5,35 12,13 1 1,JUL ? 2026)", "UTC", "2026-01-01T12:35"),
        ("cron(0 0 1 1 ? 2025)", "UTC", None),
        ("cron(0 0 15W * ? *)", "UTC", None),
    ],
)
def test_the_next_firing(schedule: str, timezone: str, expected: str | None) -> None:
    found = next_after(schedule, timezone, START)
    assert (found.strftime("%Y-%m-%dT%H:%M") if found is not None else None) == expected


@pytest.mark.parametrize(
    ("schedule", "seconds", "late", "followed"),
    [
        ("rate(1 hour)", 300, False, False),
        ("rate(1 hour)", 301, True, False),
        ("rate(1 hour)", 3600, True, True),
        ("rate(1 minute)", 59, False, False),
        ("rate(1 minute)", 60, True, True),
        ("cron(0 0 15W * ? *)", 301, True, False),
    ],
)
def test_a_firing_is_late_after_five_minutes_or_when_the_next_one_is_due(
    schedule: str,
    seconds: int,
    late: bool,  # noqa: FBT001 - a parametrized value
    followed: bool,  # noqa: FBT001 - a parametrized value
) -> None:
    now = START + timedelta(seconds=seconds)
    assert is_late(schedule, "UTC", START, now) == late
    assert is_followed(schedule, "UTC", START, now) == followed
