"""The two halves of a stage: the state that holds all messages and records, and the work that runs."""
