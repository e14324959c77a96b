"""The commands behind `ahsar`, each in a file of its name; needs the extra `ahsar[cli]`, and `ahsar[lab]` for most."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from ahsar import __version__
from ahsar.cli.bake import bake
from ahsar.cli.compare import compare
from ahsar.cli.doctor import doctor
from ahsar.cli.figures import figures
from ahsar.cli.inspect import inspect
from ahsar.cli.matrix import matrix
from ahsar.cli.options import Interrupted
from ahsar.cli.population import population
from ahsar.cli.report import report
from ahsar.cli.robustness import robustness
from ahsar.cli.run import run
from ahsar.cli.tune import tune
from ahsar.cli.workloads import workloads

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Homeostatic regulation of firing rates in spiking networks.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ahsar {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Homeostatic regulation of firing rates in spiking networks."""


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, in which Ctrl-C is one line, whatever it was at."""

    @wraps(command)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    return guarded


for each in (doctor, inspect, workloads, run, compare, population, report, figures, robustness, tune, bake):
    app.command()(_interruptible(each))
app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_interruptible(matrix))
