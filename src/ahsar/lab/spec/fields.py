"""Checked fields of a frozen dataclass: their types, ranges and choices, said once beside each field."""

import math
from dataclasses import MISSING, Field, field, fields
from typing import Any, get_type_hints

from ahsar.errors import WorkloadError

_LISTS = {tuple[int, ...]: int, tuple[float, ...]: float, tuple[str, ...]: str}


def spec(
    default: Any = MISSING,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    added: bool = False,
) -> Any:
    """A dataclass field with its range (both ends included) or its choices; no default means that a file must give it.

    A list may be empty only where its default is. Fields `added` after results were recorded leave the workload's hash
    as it was while they are at their default.
    """
    metadata = {"low": low, "high": high, "choices": choices, "may_be_empty": default == (), "added": added}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


class Section:
    """Checks every field of a section when it is made, so `dataclasses.replace` is as strict as a file."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):  # pyright: ignore[reportArgumentType]
            value = checked(item, hints[item.name], getattr(self, item.name))
            object.__setattr__(self, item.name, value)


def checked(item: Field[Any], kind: Any, value: Any) -> Any:
    """`value` if it has the field's type and range, with whole numbers taken as floats where a float is asked for."""
    low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
    if kind in _LISTS:
        if not isinstance(value, tuple) or not (value or item.metadata["may_be_empty"]):
            what = f"from {', '.join(choices)}" if choices else f"in [{low:g}, {high:g}]"
            raise WorkloadError(f"{item.name} = {value!r}: must be a list of at least one entry {what}")
        return tuple(checked(item, _LISTS[kind], entry) for entry in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise WorkloadError(f"{item.name} = {value!r}: must be of type {kind.__name__}, not {type(value).__name__}")
    if choices and value not in choices:
        raise WorkloadError(f"{item.name} = {value!r}: choose from {', '.join(choices)}")
    if kind in (int, float) and not low <= value <= high:  # false for NaN as well
        raise WorkloadError(f"{item.name} = {value!r}: out of range [{low:g}, {high:g}]")
    return value
