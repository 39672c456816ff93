"""Promises that are known to be broken. When one is mended, its line here becomes True, and the harnesses hold it."""

# An outage charges nobody: no message becomes a dead letter for it, however long it lasts.
OUTAGES_CHARGE_NOBODY = True
# The paths on which an outage of ten minutes while settling ends as `worker lost`.
CHARGED = frozenset(
    {
        "producer",
        "short retry",
        "long retry",
        "reject",
        "exhausted",
        "at least once",
        "fifo",
        "large payload",
        "two releases",
    }
)
# What kills its worker before the claim ends as a dead letter.
DEATHS_BEFORE_THE_CLAIM_COUNT = True
# An event waits for the release that subscribes to it. Today the older release's relay marks it as published.
EVENTS_WAIT_FOR_THEIR_RELEASE = True
# The sweeper and the relay publish the events of an aggregate in the order of their commits. Today the sweeper goes by
# the producers' clocks, and a stream that gave up on an event in an outage goes on with the next one.
EVENTS_KEEP_THEIR_ORDER = True
# A message waits for its release as long as SQS has known it, whatever the clock of its producer says.
PATIENCE_BEGINS_WITH_THE_SEND = True
