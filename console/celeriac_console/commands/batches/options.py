"""The argument of the commands `celeriac batches ...`."""

from typing import Annotated

import typer

BatchId = Annotated[
    str, typer.Argument(metavar="ID", help="The batch's id, as `celeriac batches list` and batch.id give it.")
]
