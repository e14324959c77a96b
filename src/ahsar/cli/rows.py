"""Which layers of a model would be regulated: a row for each, and their table."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ahsar.answers import ANSWER, Answers
from ahsar.cli.target import build_model
from ahsar.discovery import Found, discover, outside
from ahsar.errors import AhsarError, AttachError, DataError
from ahsar.verdict import in_words, refusal_of_model, refusals, too_high


@dataclass(frozen=True)
class Row:
    """One known layer: `threshold` and `shape` are "" where it has none, `output` where no input was given; `refused`: `attach`
    is an error, unless it leaves this layer out.
    """

    name: str
    kind: str
    framework: str
    threshold: str
    shape: str
    output: str
    skipped: str
    refused: bool = False


def inspect_target(target: str, input_shape: str | None = None) -> list[Row]:
    """Rows for `package.module:factory`, found from the working directory as well.

    Raises:
        AttachError: the target cannot be imported, or gives no model; or the model has no spiking layer at all.
        DataError: `input_shape` is no list of sizes, or the model does not take it.
    """
    model = build_model(target)
    shapes, answers = ({}, set()) if input_shape is None else _forward(model, input_shape)
    found = [*discover(model), *outside(model)]
    rows = [_row(item, shapes, why) for item, why in zip(found, _reasons(model, found, answers), strict=True)]
    if not rows:
        seen = ", ".join(sorted({type(module).__name__ for module in nn.Module.modules(model)}))
        raise AttachError(
            f"{target}: no spiking layer of a known framework among {seen}; for your own neurons call "
            'ahsar.register_adapter(MyNeuron, threshold="its_attribute") in that module'
        )
    return rows


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


def _reasons(model: nn.Module, found: list[Found], answers: set[str]) -> list[tuple[str, bool]]:
    """For each layer, why `attach` does not regulate it, "" if it does, and whether that is an error."""
    usable = [item for item in found if item.reason is None]
    whole = refusal_of_model(model)
    refused = refusals(model, usable) if whole is None else {item.name: whole for item in usable}
    alone = too_high([item for item in usable if item.name not in refused]) | dict.fromkeys(answers, ANSWER)
    left = {name: f"{reason}, unless layers= names it" for name, reason in alone.items()}
    skipped = {item.name: item.reason or "" for item in found}
    return [({**skipped, **left, **refused}[item.name], item.name in refused) for item in found]


def _row(item: Found, shapes: dict[str, str], why: tuple[str, bool]) -> Row:
    kind = type(item.module).__name__
    return Row(item.name, kind, item.framework, *threshold_of(item), shapes.get(item.name, ""), *why)


def threshold_of(item: Found) -> tuple[str, str]:
    """A layer's threshold and its shape, in words; "" for both where it has none that can be scaled."""
    if item.reason is not None or item.adapter is None:
        return "", ""
    try:
        value = item.adapter.threshold(item.module).value(item.module)
    except AhsarError:  # one of the reasons why it is refused
        return "", ""
    return in_words(value), str(tuple(value.shape))


def table(rows: list[Row]) -> Any:
    """A rich table: regulated layers first, then those skipped, each with its reason."""
    from rich import box
    from rich.table import Table

    regulated, refused = sum(not row.skipped for row in rows), sum(row.refused for row in rows)
    title = f"{regulated} spiking layers to regulate, {len(rows) - regulated - refused} skipped"
    result = Table(
        title=title + f"; attach() refuses {refused}" * bool(refused), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    with_output = any(row.output for row in rows)
    output = ["output"] if with_output else []
    for heading in ("layer", "class", "framework", "threshold", "its shape", *output, "skipped because"):
        result.add_column(heading)
    for row in sorted(rows, key=lambda row: bool(row.skipped)):
        cells = [row.name or "(the model)", row.kind, row.framework, row.threshold, row.shape]
        result.add_row(*cells, *([row.output] if with_output else []), "attach() refuses it: " * row.refused + row.skipped)
    return result
