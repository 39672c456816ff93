"""What an operator may remove from a limit's item, so that nothing that is promised breaks."""

from celeriac.flow import rows
from celeriac.flow.rows import Refused, Write


def clear_line(key: str) -> bool:
    """Remove the line of a Rate or a Concurrent, and the block that a provider asked for.

    Starts and held places stay: without them more would start than the limit promises. Who has a slot ahead has none
    any more: it starts when it comes again, within 15 minutes, if the limit has room. Returns whether there was an
    item. Raises AWS's errors.
    """
    write = Write(f"attribute_exists({rows.KEY})", {}, [], ["promised", "blocked"])
    # It lives on as it is: its starts may be counted for days.
    return not isinstance(rows.update(key, write, lives_until=None), Refused)
