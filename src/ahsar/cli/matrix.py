"""`ahsar matrix`, as it was: says which command does this now, and runs it."""

import shlex
import sys

import typer

# what chose another mode than a comparison
_MODES = {"--tune": "tune", "--robustness": "robustness", "--page": "report"}


def matrix(context: typer.Context) -> None:
    """Now `ahsar compare MATRIX`, and `tune`, `robustness` and `report`, which take a matrix as well."""
    words = context.args
    command = next((_MODES[word] for word in words if word in _MODES), "compare")
    rest = [word for word in words if word not in _MODES]
    print(f"`ahsar matrix` has gone: type `ahsar {shlex.join([command, *rest])}`, which follows", file=sys.stderr)
    group = context.find_root().command
    group.main([command, *rest], prog_name="ahsar", standalone_mode=False)
