"""The commands behind `ahsar`, each in a file of its name; needs the extra `ahsar[lab]`."""

import typer

from ahsar.cli.bake import bake
from ahsar.cli.compare import compare
from ahsar.cli.figures import figures
from ahsar.cli.inspect import inspect
from ahsar.cli.matrix import matrix
from ahsar.cli.population import population
from ahsar.cli.report import report
from ahsar.cli.robustness import robustness
from ahsar.cli.run import run
from ahsar.cli.tune import tune
from ahsar.cli.workloads import workloads

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Homeostatic regulation of firing rates in spiking networks.",
)
for command in (inspect, workloads, run, compare, population, report, figures, robustness, tune, bake):
    app.command()(command)
app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(matrix)
