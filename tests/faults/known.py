"""Promises that are known to be broken. When one is mended, its line here becomes True, and the harnesses hold it."""

# An outage charges nobody: no message becomes a dead letter for it, however long it lasts. Today an error of AWS while
# a message is settled leaves a lease that looks like a crash, and an outage of an hour uses up a message's receives.
OUTAGES_CHARGE_NOBODY = False
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
# What kills its worker before the claim ends as a dead letter. Today it kills workers until SQS gives up on it.
DEATHS_BEFORE_THE_CLAIM_COUNT = False
# An event waits for the release that subscribes to it. Today the older release's relay marks it as published.
EVENTS_WAIT_FOR_THEIR_RELEASE = False
# The sweeper and the relay publish the events of an aggregate in the order of their commits. Today the sweeper goes by
# the producers' clocks, and a stream that gave up on an event in an outage goes on with the next one.
EVENTS_KEEP_THEIR_ORDER = False
# A message waits for its release as long as SQS has known it. Today its queue's patience begins with `enqueued_at`: what
# a producer with a slow clock has sent is a dead letter at once.
PATIENCE_BEGINS_WITH_THE_SEND = False
