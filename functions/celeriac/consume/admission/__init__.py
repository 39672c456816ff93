"""Whether a message may start now: it asks the limits of its task, and else it waits, which is no attempt."""
