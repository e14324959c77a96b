"""Workloads: what one experiment freezes before it runs, read from TOML, checked strictly, and hashed.

A workload file has one table per section below; `[quick]` has the same layout and is laid over the rest by `quick=True`.
"""

import hashlib
import json
import math
import tomllib
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from ahsar.errors import WorkloadError

FOLDER = Path(__file__).parent / "workloads"


def _spec(default: Any = MISSING, *, low: float = -math.inf, high: float = math.inf, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with its range (both ends included) or its choices; no default means that a file must give it."""
    metadata = {"low": low, "high": high, "choices": choices}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


class _Section:
    """Checks every field of a section when it is made, so `dataclasses.replace` is as strict as a file."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):  # pyright: ignore[reportArgumentType]
            value = _checked(item, hints[item.name], getattr(self, item.name))
            object.__setattr__(self, item.name, value)


@dataclass(frozen=True)
class Data(_Section):
    """Which data, how much of it, and how it is split. A limit of 0 means all of it."""

    name: str = _spec(choices=("digits", "fashion_mnist", "cifar10", "dvs-objects"))
    val_size: int = _spec(low=10)  # samples held out from train: the only ones the slow loop may see
    train_limit: int = _spec(0, low=0)
    test_limit: int = _spec(0, low=0)  # digits has no test split of its own: there, the size of the one held out
    split_seed: int = _spec(0, low=0)
    size: int = _spec(0, low=0, high=1024)  # pixels of a side after averaging (events: summing); 0 keeps the side
    time_steps: int = _spec(0, low=0, high=1000)  # events only: frames of a window; 0 for images
    window_gap: int = _spec(0, low=0, high=100)  # events only: windows dropped on both sides of a validation block


@dataclass(frozen=True)
class Model(_Section):
    """A convolutional spiking network with one spiking layer after every convolution and a linear readout."""

    name: str = _spec(choices=("snntorch-conv", "spikingjelly-conv", "spikingjelly-vgg"))
    widths: tuple[int, ...] = _spec(low=1, high=4096)  # channels of each convolution; their number is the depth
    strides: tuple[int, ...] = _spec(low=1, high=2)  # one a convolution; the VGG max-pools after a 2 instead
    time_steps: int = _spec(low=1, high=1000)  # T; event data must bring as many frames
    hidden: int = _spec(0, low=0, high=65536)  # neurons of a spiking linear layer before the readout; 0 for none
    batch_norm: bool = _spec(False)
    neuron: str = _spec("lif", choices=("lif", "plif", "if"))
    surrogate: str = _spec("atan", choices=("atan", "sigmoid"))
    tau: float = _spec(2.0, low=1.001, high=1e6)  # membrane time constant in time steps
    detach_reset: bool = _spec(True)

    @property
    def depth(self) -> int:
        return len(self.widths)


@dataclass(frozen=True)
class Paradigm(_Section):
    """The training method."""

    name: str = _spec("bptt", choices=("bptt",))


@dataclass(frozen=True)
class Optimizer(_Section):
    """The optimiser and its constant learning rate."""

    name: str = _spec(choices=("adam", "adamw", "sgd"))
    lr: float = _spec(low=1e-8, high=10.0)
    weight_decay: float = _spec(0.0, low=0.0, high=1.0)
    momentum: float = _spec(0.0, low=0.0, high=0.999)  # sgd only


@dataclass(frozen=True)
class Budget(_Section):
    """What every trial may spend, in optimiser steps."""

    steps: int = _spec(low=1, high=10_000_000)
    batch_size: int = _spec(low=1, high=65536)
    eval_every: int = _spec(low=1)  # steps between two evaluations


@dataclass(frozen=True)
class Target(_Section):
    """The validation metric a trial has to reach, and how much worse on test still counts as no worse."""

    metric: str = _spec(choices=("accuracy",))
    value: float = _spec(low=0.0, high=1.0)
    higher_is_better: bool = _spec(True)
    margin: float = _spec(0.01, low=0.0, high=1.0)


@dataclass(frozen=True)
class Seeds(_Section):
    """Seeds of a comparison: `first`, `first + 1`, ... Those from 1000 on belong to tuning."""

    count: int = _spec(low=1, high=1000)
    first: int = _spec(0, low=0, high=999)


@dataclass(frozen=True)
class Constant(_Section):
    """Threshold scales of the constant arm."""

    grid: tuple[float, ...] = _spec(low=0.01, high=100.0)


@dataclass(frozen=True)
class Workload:
    """One experiment, frozen. `hash` names everything in it that can change a result."""

    name: str
    title: str
    quick: bool
    data: Data
    model: Model
    optimizer: Optimizer
    budget: Budget
    target: Target
    seeds: Seeds
    constant: Constant
    paradigm: Paradigm = field(default_factory=Paradigm)

    def __post_init__(self) -> None:
        model, budget = self.model, self.budget
        if len(model.strides) != len(model.widths):
            raise WorkloadError(f"model.strides has {len(model.strides)} entries; give {model.depth}, one per width")
        if budget.eval_every > budget.steps:
            raise WorkloadError(f"budget.eval_every = {budget.eval_every}: out of range [1, budget.steps = {budget.steps}]")
        if self.data.time_steps not in (0, model.time_steps):
            raise WorkloadError(f"data.time_steps = {self.data.time_steps}: must equal model.time_steps = {model.time_steps}")
        if len(set(self.constant.grid)) != len(self.constant.grid):
            raise WorkloadError("constant.grid names a scale twice; every scale is one arm")

    @property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 of every field but the title."""
        content = asdict(self)
        del content["title"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


_SECTIONS: dict[str, type] = {
    "data": Data, "model": Model, "paradigm": Paradigm, "optimizer": Optimizer, "budget": Budget,
    "target": Target, "seeds": Seeds, "constant": Constant,
}  # fmt: skip


def names() -> list[str]:
    """Names of the workloads that come with ahsar, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | Path, quick: bool = False) -> Workload:
    """Read a workload by its name or from a `.toml` file.

    Raises:
        WorkloadError: no such workload, unreadable TOML, or a key that is unknown, missing, mistyped or out of range.
    """
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and path.stem not in names():
        raise WorkloadError(f"unknown workload {str(name)!r}: choose from {', '.join(names())}, or give a path to a .toml file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkloadError(f"{path}: cannot read the workload ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: not valid TOML ({error})") from None
    try:
        return _parse(table, quick)
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from None


def from_dict(values: dict[str, Any]) -> Workload:
    """The workload of which `dataclasses.asdict` gave these values; raises WorkloadError as `load` does."""
    table = dict(values)
    return _sections(table, table.pop("quick", False))


def _parse(table: dict[str, Any], quick: bool) -> Workload:
    changes = table.pop("quick", {})
    _expect_keys(changes, "quick.", set(_SECTIONS))
    full = _sections(table, quick=False)
    # The quick table is checked on every load, so a mistake in it cannot wait for the first quick run.
    shortened = _sections({**table, **{key: _merge(key, table.get(key), changes[key]) for key in changes}}, quick=True)
    return shortened if quick else full


def _merge(key: str, base: Any, changes: Any) -> dict[str, Any]:
    if not isinstance(changes, dict):
        raise WorkloadError(f"quick.{key} = {changes!r}: must be a table")
    return {**(base or {}), **changes}


def _sections(table: dict[str, Any], quick: bool) -> Workload:
    _expect_keys(table, "", {"name", "title", *_SECTIONS})
    for key in ("name", "title"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise WorkloadError(f"{key} = {table.get(key)!r}: must be a text of at least one character")
    built = {key: _section(key, cls, table.get(key, {})) for key, cls in _SECTIONS.items()}
    return Workload(name=table["name"], title=table["title"], quick=quick, **built)


def _section(key: str, cls: type, table: Any) -> Any:
    _expect_keys(table, f"{key}.", {item.name for item in fields(cls)})
    missing = [item.name for item in fields(cls) if item.name not in table and item.default is MISSING]
    if missing:
        raise WorkloadError(f"{key}.{missing[0]} is missing; add it")
    try:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in table.items()})
    except WorkloadError as error:
        raise WorkloadError(f"{key}.{error}") from None


def _expect_keys(table: Any, prefix: str, known: set[str]) -> None:
    if not isinstance(table, dict):
        raise WorkloadError(f"{prefix.rstrip('.')} = {table!r}: must be a table")
    for key, value in table.items():
        if key not in known:
            raise WorkloadError(f"unknown key {prefix}{key} = {value!r}; known here: {', '.join(sorted(known))}")


def _checked(item: Field, kind: Any, value: Any) -> Any:
    """`value` if it has the field's type and range, with whole numbers taken as floats where a float is asked for."""
    low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
    if kind in (tuple[int, ...], tuple[float, ...]):
        if not isinstance(value, tuple) or not value:
            raise WorkloadError(f"{item.name} = {value!r}: must be a list of at least one number in [{low:g}, {high:g}]")
        inner = int if kind == tuple[int, ...] else float
        return tuple(_checked(item, inner, entry) for entry in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise WorkloadError(f"{item.name} = {value!r}: must be of type {kind.__name__}, not {type(value).__name__}")
    if choices and value not in choices:
        raise WorkloadError(f"{item.name} = {value!r}: choose from {', '.join(choices)}")
    if kind in (int, float) and not low <= value <= high:  # false for NaN as well
        raise WorkloadError(f"{item.name} = {value!r}: out of range [{low:g}, {high:g}]")
    return value
