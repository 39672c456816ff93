"""The commands `celeriac quarantine ...`: they start, end and list the quarantines of tasks and kinds of failure."""
