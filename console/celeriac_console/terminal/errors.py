"""The errors that end a command with a sentence, and the exit codes."""

FAILED = 1
USAGE = 2
# The exit codes that shells use for SIGINT (Ctrl-C) and SIGPIPE (the reader of a pipe has closed it, as `head` does).
INTERRUPTED = 130
READER_GONE = 141


class UserError(Exception):
    """An error that the user can correct. The text says how."""


class CommandInterruptedError(Exception):
    """Ctrl-C ended the command. The text has the progress so far, and the command that goes on."""
