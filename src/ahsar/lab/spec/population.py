"""Populations: workloads drawn from a frozen distribution, which one TOML file describes; `populations/users.toml` says how.

Draw i is a function of the distribution's hash and of i alone, so it may be made anew anywhere and never changes.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ahsar.errors import WorkloadError
from ahsar.lab.spec import workload
from ahsar.lab.spec.toml import read_toml
from ahsar.lab.spec.workload import Workload

FOLDER = Path(__file__).parent / "populations"
AXES = ("model", "data", "optimizer")  # in the order in which a draw takes its blocks
MOST_SEEDS = 1000  # draws take their number as seed; those of tuning begin here
TRIES = 100  # of one draw: a distribution that gives no valid workload so often is wrong
_LAID = ("defaults", "data", "model", "optimizer")  # later ones over earlier ones
_OWN = ("share", "path", "on")  # of a block; the rest are a workload's tables


@dataclass(frozen=True)
class Draw:
    """One net of a population.

    Attributes:
        workload: with one seed; named POPULATION-NUMBER.
        path: of its data below --data, "" for data that needs none.
        axes: the names of its blocks.
    """

    number: int
    workload: Workload
    path: str
    axes: dict[str, str]


@dataclass(frozen=True)
class Population:
    """A distribution of workloads.

    Attributes:
        table: of the file, without its title.
        verdict: the first draw of the block that is kept for the verdict.
        rivals: so many draws at the beginning of each block take the rivals too.
    """

    name: str
    title: str
    table: Mapping[str, Any]
    verdict: int
    rivals: int

    @property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 of everything but the title."""
        return hashlib.sha256(json.dumps(self.table, sort_keys=True).encode()).hexdigest()[:12]

    def is_for_verdict(self, number: int) -> bool:
        """Whether a draw belongs to the block that is run once."""
        return number >= self.verdict

    def has_rivals(self, number: int) -> bool:
        """Whether a draw is among the first of its block."""
        return number - (self.verdict if self.is_for_verdict(number) else 0) < self.rivals

    def draw(self, number: int) -> Draw:
        """Draw `number` >= 0.

        Raises:
            WorkloadError: the distribution gives no valid workload.
        """
        if number < 0:
            raise WorkloadError(f"draw {number} of population {self.name!r}: draws are numbered from 0")
        random = np.random.default_rng([int(self.hash, 16), number])
        said: WorkloadError | None = None
        for _ in range(TRIES):
            try:
                return self._try(random, number)
            except WorkloadError as error:
                said = error
            except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                said = WorkloadError(f"its tables draw nothing ({error!r})")
        raise WorkloadError(
            f"population {self.name!r}: {TRIES} tries of draw {number} gave no valid workload; the last: {said}"
        )

    def _try(self, random: np.random.Generator, number: int) -> Draw:
        blocks: dict[str, str] = {}
        for axis in AXES:
            known = self.table[axis]
            on = known_on(self.table, blocks) if axis == "data" else known
            names = [name for name in sorted(known) if name in on]
            blocks[axis] = names[_place(random, [known[name].get("share", 1) for name in names])]
        laid: dict[str, dict[str, Any]] = {}
        for layer in _LAID:
            above = self.table["defaults"] if layer == "defaults" else self.table[layer][blocks[layer]]
            for section, fields in above.items():
                if section not in _OWN:
                    laid.setdefault(section, {}).update(fields)
        drawn = {key: {name: _value(random, laid[key][name]) for name in sorted(laid[key])} for key in sorted(laid)}
        title = " · ".join(blocks[axis] for axis in AXES)
        seeds = {"count": 1, "first": number % MOST_SEEDS}
        table = {"name": f"{self.name}-{number:04d}", "title": title, "seeds": seeds, **_referred(drawn)}
        path = self.table["data"][blocks["data"]].get("path", "")
        return Draw(number, workload.from_dict(table), path, blocks)


def names() -> list[str]:
    """Names of the populations that come with ahsar, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str | Path) -> Population:
    """Read a population by its name or from a `.toml` file.

    Raises:
        WorkloadError: no such population, unreadable TOML, or tables that are missing or draw nothing.
    """
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and path.stem not in names():
        raise WorkloadError(
            f"unknown population {str(name)!r}: choose from {', '.join(names())}, or give a path to a .toml file"
        )
    table = read_toml(path, "population")
    missing = [key for key in ("name", "title", "verdict", "rivals", "defaults", *AXES) if not table.get(key)]
    if missing:
        raise WorkloadError(f"{path}: {missing[0]} is missing; add it")
    for key, kind in (("name", str), ("title", str), ("verdict", int), ("rivals", int)):
        if type(table[key]) is not kind:
            raise WorkloadError(f"{path}: {key} = {table[key]!r}: must be of type {kind.__name__}")
    title = table.pop("title")
    made = Population(table["name"], title, table, table["verdict"], table["rivals"])
    try:
        made.draw(0)
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from None
    except TypeError as error:  # a date, say, of which no hash can be made
        raise WorkloadError(f"{path}: holds what is no number, text, list or table ({error})") from None
    return made


def known_on(table: Mapping[str, Any], blocks: Mapping[str, str]) -> Sequence[str]:
    """The data that the model drawn can take."""
    return table["model"][blocks["model"]].get("on") or list(table["data"])


# A generator's `random()` is all that is asked of NumPy: the rest of its methods may change between versions.


def _place(random: np.random.Generator, shares: Sequence[float]) -> int:
    """A position, as likely as its share says."""
    ends = np.cumsum(np.asarray(shares, dtype=np.float64))
    return min(int(np.searchsorted(ends, random.random() * ends[-1], side="right")), len(ends) - 1)


def _value(random: np.random.Generator, value: Any) -> Any:
    """What a distribution gives; a fixed value and a reference give themselves."""
    if not isinstance(value, dict) or "as" in value:
        return value
    if "choose" in value:
        return value["choose"][_place(random, value.get("shares", [1] * len(value["choose"])))]
    kind, ends = next(((kind, value[kind]) for kind in ("uniform", "log", "whole") if kind in value), ("", ()))
    if len(ends) != 2:
        raise WorkloadError(f"{value!r} is no distribution: give choose, uniform, log or whole, or as")
    low, high = ends
    if kind == "whole":
        return low + min(int(random.random() * (high - low + 1)), high - low)
    if kind == "log":
        drawn = math.exp(math.log(low) + random.random() * math.log(high / low))
    else:
        drawn = low + random.random() * (high - low)
    return float(f"{drawn:.3g}")  # so that no processor's last bit changes a hash


def _referred(drawn: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """With every reference replaced by what was drawn there."""

    def value(entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        section, _, name = entry["as"].partition(".")
        return drawn[section][name]

    return {key: {name: value(entry) for name, entry in fields.items()} for key, fields in drawn.items()}
