"""Arguments and options that several commands share."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ahsar.errors import AhsarError


class Interrupted(AhsarError):
    """Ctrl-C."""


Name = Annotated[str, typer.Argument(help="A workload's name (see `ahsar workloads`) or a .toml file.")]
Study = Annotated[str, typer.Argument(help="A workload or a matrix: its name (see `ahsar workloads`) or a .toml file.")]
Folder = Annotated[str, typer.Argument(help="A results folder, or the workload or matrix whose folder is runs/NAME.")]
Cells = Annotated[str | None, typer.Option("--cells", help="Of a matrix: comma-separated names; default: all.")]
Quick = Annotated[bool, typer.Option("--quick", help="The small budget: minutes on 2 cores.")]
Data = Annotated[Path | None, typer.Option("--data", help="Local file or folder with the data; default: public name.")]
StudyData = Annotated[
    Path | None,
    typer.Option("--data", help="Local file or folder with the data; of a matrix: that holds them; default: public names."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Results folder; default: runs/NAME.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Processes; default: one per core.", show_default=False)]
CORES = os.cpu_count() or 1
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of each process.")]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers alone, as JSON; all else goes to stderr.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Log rates, scales and gain to OUT/tensorboard.")]
Device = Annotated[str, typer.Option("--accelerator", help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed.")]
Cluster = Annotated[str, typer.Option("--cluster", help="local or slurm.")]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", help="What each job asks for: partition=gpu,gpus_per_node=1,timeout_min=600; may be repeated."),
]


def command_line() -> str:
    """What was typed, for the records."""
    return shlex.join(["ahsar", *sys.argv[1:]])
