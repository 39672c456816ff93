"""The one error of the local cloud that a person sees."""


class ProblemError(Exception):
    """Something the user can put right. The message is one clear sentence, and the next thing to do."""
