"""The error of the local cloud that is shown to users."""


class UserError(Exception):
    """An error that the user can correct. The message is one clear sentence, and what to do next."""
