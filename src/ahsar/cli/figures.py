"""`ahsar figures`: figures for print."""

from pathlib import Path
from typing import Annotated

import typer

from ahsar.cli.console import console
from ahsar.errors import ResultsError


def figures(
    name: Annotated[str, typer.Argument(help="fig2: learning by constant scale; fig4: rates of the layers by constant scale.")],
    folders: Annotated[list[Path], typer.Argument(help="Results folders of `ahsar compare`; one panel each.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where NAME.png and NAME.svg go; default: the first folder.")
    ] = None,
) -> None:
    """Draw a counterpart of the paper's figure 2 or 4, for print, from finished comparisons with constant scales."""
    from ahsar.lab.report.print import fig2, fig4

    known = {"fig2": fig2.write, "fig4": fig4.write}
    if name not in known:
        raise ResultsError(f"unknown figure {name!r}: choose from {', '.join(known)}")
    for path in known[name](folders, out or folders[0]):
        console().print(path, soft_wrap=True)
