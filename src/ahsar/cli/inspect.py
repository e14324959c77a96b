"""`ahsar inspect`: which layers of a model would be regulated, as a table."""

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from ahsar.adapters import Adapter
from ahsar.answers import ANSWER, Answers
from ahsar.cli.console import console
from ahsar.discovery import discover, outside
from ahsar.errors import AttachError, DataError


def inspect(
    target: Annotated[str, typer.Argument(help="package.module:factory, or :model; a factory takes no arguments.")],
    input_shape: Annotated[
        str | None,
        typer.Option("--input", help="Shape of an input, e.g. 1,3,32,32: shows what layers give out, and output layers."),
    ] = None,
) -> None:
    """Show the spiking layers of a model, and what is skipped and why."""
    console().print(table(inspect_target(target, input_shape)))


@dataclass(frozen=True)
class Row:
    """One known layer: `threshold` and `shape` are "" where it is skipped, `output` where no input was given."""

    name: str
    kind: str
    framework: str
    threshold: str
    shape: str
    output: str
    skipped: str


def inspect_target(target: str, input_shape: str | None = None) -> list[Row]:
    """Rows for `package.module:factory`, found from the working directory as well.

    Raises:
        AttachError: the target cannot be imported, or gives no model; or the model has no spiking layer at all.
        DataError: `input_shape` is no list of sizes, or the model does not take it.
    """
    model = build_model(target)
    shapes, answers = ({}, set()) if input_shape is None else _forward(model, input_shape)
    rows = [_row(item, shapes, answers) for item in [*discover(model), *outside(model)]]
    if not rows:
        seen = ", ".join(sorted({type(module).__name__ for module in nn.Module.modules(model)}))
        raise AttachError(
            f"{target}: no spiking layer of a known framework among {seen}; for your own neurons call "
            'ahsar.register_adapter(MyNeuron, threshold="its_attribute") in that module'
        )
    return rows


def build_model(target: str) -> nn.Module:
    """The model of `package.module:factory`, found from the working directory as well; raises AttachError if there is none."""
    module_name, colon, attribute = target.partition(":")
    if not colon or not attribute:
        raise AttachError(f"{target!r}: write package.module:factory")
    sys.path.insert(0, os.getcwd())
    try:
        resolved: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            resolved = getattr(resolved, part)
        model = resolved if isinstance(resolved, nn.Module) else resolved()
    except Exception as error:
        raise AttachError(f"{target}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
    if not isinstance(model, nn.Module):
        raise AttachError(f"{target} gives a {type(model).__name__}, not a torch.nn.Module")
    return model


def _forward(model: nn.Module, input_shape: str) -> tuple[dict[str, str], set[str]]:
    """For a random input: the shape of each layer's spikes, by name, and the layers whose spikes are the model's answer."""
    shapes: dict[str, str] = {}
    answers, known = Answers(), [item for item in discover(model) if item.adapter is not None]

    def note(item: Any) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            shapes[item.name] = str(tuple(item.adapter.spikes(module, output).shape))
            answers.mark(output, item.name)

        return hook

    handles = [item.module.register_forward_hook(note(item)) for item in known]
    answers.watch(model, [item.module for item in known])
    try:
        model(torch.rand([int(size) for size in input_shape.split(",")]))
    except Exception as error:
        raise DataError(f"--input {input_shape}: {type(error).__name__}: {error}") from error
    finally:
        layers = answers.layers()
        for handle in (*handles, answers):
            handle.remove()
    return shapes, layers or set()


def _row(item: Any, shapes: dict[str, str], answers: set[str]) -> Row:
    threshold, shape = "", ""
    if item.reason is None and isinstance(item.adapter, Adapter):
        value = item.adapter.threshold(item.module).value(item.module)
        threshold, shape = _number(value), str(tuple(value.shape))
    kind = type(item.module).__name__
    reason = f"{ANSWER}, unless layers= names it" if item.name in answers else item.reason or ""
    return Row(item.name, kind, item.framework, threshold, shape, shapes.get(item.name, ""), reason)


def _number(value: Tensor) -> str:
    low, high = value.min().item(), value.max().item()
    return f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}"


def table(rows: list[Row]) -> Any:
    """A rich table: regulated layers first, then those skipped, each with its reason."""
    from rich.table import Table

    regulated = sum(not row.skipped for row in rows)
    result = Table(title=f"{regulated} spiking layers to regulate, {len(rows) - regulated} skipped")
    with_output = any(row.output for row in rows)
    for heading in (
        "layer",
        "class",
        "framework",
        "threshold",
        "its shape",
        *(["output"] if with_output else []),
        "skipped because",
    ):
        result.add_column(heading, overflow="fold")
    for row in sorted(rows, key=lambda row: bool(row.skipped)):
        cells = [row.name or "(the model)", row.kind, row.framework, row.threshold, row.shape]
        result.add_row(*cells, *([row.output] if with_output else []), row.skipped)
    return result
