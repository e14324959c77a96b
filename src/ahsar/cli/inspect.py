"""`ahsar inspect`: which layers of a model would be regulated, as a table."""

from dataclasses import asdict
from typing import Annotated

import typer

from ahsar.cli.console import console, print_json, print_table
from ahsar.cli.options import Json
from ahsar.cli.target import HELP


def inspect(
    target: Annotated[str, typer.Argument(help=HELP)],
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="Shape of an input, e.g. 1,3,32,32: shows what layers give out, and output layers."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the spiking layers of a model, and what is skipped and why."""
    from ahsar.cli.rows import inspect_target, table

    rows = inspect_target(target, input_shape)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        print_table(console(), table(rows))
