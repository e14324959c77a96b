"""Workloads: what one experiment freezes before it runs, read from TOML, checked strictly, and hashed.

A workload file has one table per section below; `[quick]` has the same layout and is laid over the rest by `quick=True`.
"""

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ahsar.errors import WorkloadError
from ahsar.lab.spec import rules
from ahsar.lab.spec.sections import Budget, Constant, Data, Model, Optimizer, Paradigm, Seeds, Target
from ahsar.lab.spec.toml import read_toml

FOLDER = Path(__file__).parent / "workloads"


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
        budget = self.budget
        if budget.eval_every > budget.steps:
            raise WorkloadError(f"budget.eval_every = {budget.eval_every}: out of range [1, budget.steps = {budget.steps}]")
        if len(set(self.constant.grid)) != len(self.constant.grid):
            raise WorkloadError("constant.grid names a scale twice; every scale is one arm")
        rules.check(self.data, self.model, self.paradigm, self.optimizer)

    @property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 of every field but the title; fields added since count unless at their default."""
        content = asdict(self)
        del content["title"]
        for key in _SECTIONS:
            for item in fields(getattr(self, key)):
                if item.metadata["added"] and content[key][item.name] == item.default:
                    del content[key][item.name]
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
    table = read_toml(path, "workload")
    try:
        return parse(table, quick)
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from None


def from_dict(values: dict[str, Any]) -> Workload:
    """The workload of which `dataclasses.asdict` gave these values; raises WorkloadError as `load` does."""
    table = dict(values)
    return _sections(table, table.pop("quick", False))


def parse(table: dict[str, Any], quick: bool) -> Workload:
    """The workload of a whole table, as TOML gives it; raises WorkloadError as `load` does."""
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


__all__ = [
    "Budget",
    "Constant",
    "Data",
    "Model",
    "Optimizer",
    "Paradigm",
    "Seeds",
    "Target",
    "Workload",
    "from_dict",
    "load",
    "names",
]
