"""`ahsar figures`: figures for print."""

from pathlib import Path
from typing import Annotated

import typer

from ahsar.cli.console import console
from ahsar.errors import ResultsError


def figures(
    name: Annotated[
        str,
        typer.Argument(help="fig2: learning by constant scale; fig4: rates of the layers by constant scale; talk: 16:9."),
    ],
    folders: Annotated[list[Path], typer.Argument(help="Results folders; one panel each, or for a talk one folder.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the files go; default: the first folder, for a talk FOLDER/talk."),
    ] = None,
) -> None:
    """Draw a counterpart of the paper's figure 2 or 4, for print, from comparisons with constant scales; or pictures for a
    talk, each with one message, from a comparison, a matrix or a population. All as PNG and SVG."""
    from ahsar.lab.report.print import fig2, fig4
    from ahsar.lab.report.talk import pictures

    known = {"fig2": fig2.write, "fig4": fig4.write}
    if name == "talk":
        if len(folders) > 1:
            raise ResultsError(f"talk takes one results folder, not {len(folders)}: give them one by one")
        written = pictures.write(folders[0], out or folders[0] / "talk")
    elif name in known:
        written = known[name](folders, out or folders[0])
    else:
        raise ResultsError(f"unknown figure {name!r}: choose from {', '.join([*known, 'talk'])}")
    for path in written:
        console().print(path, soft_wrap=True)
