"""`ahsar doctor`: versions, and how the layers of a model fare on an input, without the controller and with it."""

from typing import Annotated, Any

import typer

from ahsar.cli.console import console, print_json, print_table
from ahsar.cli.options import Json
from ahsar.cli.target import HELP


def doctor(
    target: Annotated[str | None, typer.Argument(help=f"{HELP} Without one: versions alone.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples of a random input.")] = 32,
    input_shape: Annotated[
        str | None, typer.Option("--input", help="Shape of a whole random input, e.g. 8,3,32,32; default: guessed.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="A tensor that torch.save wrote: an input of the model.")] = None,
    as_json: Json = False,
) -> None:
    """Say which layers of a model are silent or fire all the time, why, and what the controller would make of them."""
    from ahsar.cli.examination import examine, versions

    found: dict[str, Any] = {"versions": versions()}
    if target is not None:
        found |= examine(target, batch, input_shape, data)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    shown = console()
    shown.print("  ".join(f"{name} {version}" for name, version in found["versions"].items()))
    if "layers" not in found:
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("layer", "class", "threshold", "rate", "state", "rate attached", "scale", "what to do"):
        table.add_column(heading)
    for row in found["layers"]:
        cells = (row["name"] or "(the model)", row["class"], row["threshold"], row["rate"], row["state"])
        table.add_row(*map(_text, (*cells, row["attached_rate"], row["scale"], row["advice"])))
    print_table(shown, table)
    for name, reason in found["left_alone"].items():
        shown.print(f"left alone: {name!r}, since {reason}")
    shown.print(f"input: {found['input']}. {found['verdict']}")


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
