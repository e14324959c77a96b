"""A matrix: a frozen list of cells (data × model × paradigm), each a workload of its own, read from one TOML file.

The file names blocks, `[data.NAME]`, `[model.NAME]` and `[paradigm.NAME]`, and combines them in `[[cells]]`:

    [defaults.budget]        # every table of a workload, with `quick` for the small budget
    [data.fashion]           # fields of a workload's [data]; `path` is where the data lies below --data
    [model.conv8]            # fields of [model]
    [paradigm.tet]           # fields of [paradigm]
    [[cells]]                # data, model and paradigm by name; any other table is laid over the rest
    data = "fashion"
    model = "conv8"
    paradigm = "tet"
    rivals = true            # whether --quick runs the rivals here too
    floor = 0.3              # the least target, for a cell whose baseline stays at chance

Beside FILE.toml, FILE.tuned.toml holds for each budget and cell what `ahsar matrix FILE --tune` found: the baseline's
learning rate and the target. Cells that it lacks cannot be compared.
"""

import copy
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ahsar.errors import DataError, WorkloadError
from ahsar.lab import arms
from ahsar.lab.spec import workload
from ahsar.lab.spec.workload import Workload
from ahsar.lab.study.compare import Plan

FOLDER = Path(__file__).parent / "matrices"
_AXES = ("data", "model", "paradigm")
_TABLES = ("data", "model", "paradigm", "optimizer", "budget", "target", "seeds", "constant")


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        name: DATA-MODEL-PARADIGM.
        workload: with the tuned learning rate and target, or those of the file if it is not tuned yet.
        path: of the data below --data; "" for data that needs none.
        middle: the learning rate of the file, where tuning starts.
        floor: the least target; for cells whose baseline stays at chance.
        tuned: whether learning rate and target come from tuning.
        rivals: whether the quick budget runs the rivals here.
        axes: the names of its data, model and paradigm.
    """

    name: str
    workload: Workload
    path: str
    middle: float
    floor: float
    tuned: bool
    rivals: bool
    axes: dict[str, str]

    def arms(self) -> list[str]:
        """The arms to run: everything, but --quick leaves the placebos and rivals to the cells marked for them."""
        names = list(arms.PLACEBOS) if self.rivals or not self.workload.quick else ["baseline", "ahsar", arms.CONSTANT]
        if self.rivals or not self.workload.quick:
            names += [name for name in arms.RIVALS if arms.fits(name, self.workload)]
        return arms.expand(names, self.workload)

    def source(self, root: Path | None) -> Path | None:
        """Where the cell's data lies: below `root`, or nowhere (its public name).

        Raises:
            DataError: `root` is given, but the data is not there.
        """
        if root is None or not self.path:
            return None
        if not (root / self.path).exists():
            raise DataError(
                f"{root / self.path}: no data for cell {self.name!r}; --data must be a folder that holds {self.path}"
            )
        return root / self.path


def names() -> list[str]:
    """Names of the matrices that come with ahsar, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if not path.stem.endswith(".tuned"))


def load(name: str | Path, quick: bool = False) -> list[Cell]:
    """All cells of a matrix, by its name or from a `.toml` file.

    Raises:
        WorkloadError: no such matrix, unreadable TOML, an unknown block, or a cell that is no valid workload.
    """
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and path.stem not in names():
        raise WorkloadError(f"unknown matrix {str(name)!r}: choose from {', '.join(names())}, or give a path to a .toml file")
    table = _read(path)
    beside = path.with_name(f"{path.stem}.tuned.toml")
    tuned = _read(beside).get("quick" if quick else "full", {}) if beside.exists() else {}
    cells = []
    for number, entry in enumerate(table.get("cells", []), 1):
        try:
            cells.append(_cell(table, entry, tuned, quick))
        except WorkloadError as error:
            raise WorkloadError(f"{path}: cell {number}: {error}") from None
    known = [cell.name for cell in cells]
    if not cells or len(set(known)) < len(known):
        raise WorkloadError(f"{path}: {'two cells have one name' if cells else 'it has no [[cells]]'}; mend the file")
    return cells


def choose(cells: Sequence[Cell], wanted: str | None) -> list[Cell]:
    """The cells named in a comma-separated list; all for None. Raises WorkloadError for a name that is not there."""
    if wanted is None:
        return list(cells)
    known = {cell.name: cell for cell in cells}
    missing = [name for name in wanted.split(",") if name not in known]
    if missing:
        raise WorkloadError(f"no cell {missing[0]!r}; the cells are {', '.join(known)}")
    return [known[name] for name in wanted.split(",")]


def plan(cell: Cell, template: Plan, root: Path | None) -> Plan:
    """The comparison of the cell's arms, in a folder of its name below the template's.

    Raises:
        WorkloadError: the cell is not tuned.
        DataError: its data is not below `root`.
    """
    if not cell.tuned:
        raise WorkloadError(f"cell {cell.name!r} is not tuned for this budget: run `ahsar matrix NAME --tune` first")
    spec = cell.workload
    seeds = list(range(spec.seeds.first, spec.seeds.first + spec.seeds.count))
    return replace(template, workload=spec, out=template.out / cell.name, arms=cell.arms(), seeds=seeds, data=cell.source(root))


def tuned_text(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """A `.tuned.toml`: for each budget ("quick", "full") and cell its `lr` and `target`."""
    lines = [
        "# Written by `ahsar matrix --tune`: the baseline's learning rate and the target, on seeds that no comparison uses."
    ]
    for budget, cells in sorted(found.items()):
        for name, row in sorted(cells.items()):
            lines += ["", f'[{budget}."{name}"]', f"lr = {row['lr']!r}", f"target = {row['target']!r}"]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkloadError(f"{path}: cannot read the matrix ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: not valid TOML ({error})") from None


def _cell(table: dict[str, Any], entry: dict[str, Any], tuned: dict[str, Any], quick: bool) -> Cell:
    entry = copy.deepcopy(entry)
    built: dict[str, Any] = copy.deepcopy(table.get("defaults", {}))
    axes = {}
    for axis in _AXES:
        axes[axis] = entry.pop(axis, None)
        blocks = table.get(axis, {})
        if axes[axis] not in blocks:
            raise WorkloadError(f"{axis} = {axes[axis]!r}: choose from {', '.join(blocks)}")
        block = copy.deepcopy(blocks[axes[axis]])
        # beside its own fields a block may bring other tables, and a quick budget of them
        _lay(built, {key: block.pop(key) for key in [*_TABLES, "quick"] if isinstance(block.get(key), dict)})
        _lay(built, {axis: block})
    name = "-".join(axes.values())
    rivals, floor = entry.pop("rivals", False), entry.pop("floor", 0.0)
    _lay(built, entry)
    path = built.get("data", {}).pop("path", "")
    built.update(name=name, title=" · ".join(axes.values()))
    middle = workload.parse(copy.deepcopy(built), quick).optimizer.lr
    found = tuned.get(name)
    if found:
        _lay(built, {"quick": {"optimizer": {"lr": found["lr"]}, "target": {"value": found["target"]}}} if quick else {
            "optimizer": {"lr": found["lr"]}, "target": {"value": found["target"]}
        })  # fmt: skip
    return Cell(name, workload.parse(built, quick), path, middle, floor, bool(found), rivals, axes)


def _lay(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Lay tables over tables, key by key."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay(below[key], value)
        else:
            below[key] = copy.deepcopy(value)


__all__ = ["Cell", "choose", "load", "names", "plan", "tuned_text"]
