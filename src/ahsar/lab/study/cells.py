"""The cells of a study: one workload, or a matrix, a frozen list of cells (data × model × paradigm) read from one TOML file.

A matrix names blocks, `[data.NAME]`, `[model.NAME]` and `[paradigm.NAME]`, and combines them in `[[cells]]`:

    one_constant = 0.4       # a scale of every grid, frozen before: an opponent of its own; of a quick budget alone
                             # `quick.one_constant`; without it there is no such opponent
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

Beside FILE.toml, FILE.tuned.toml holds for each budget and cell what `ahsar tune FILE` found: the baseline's
learning rate and the target. Cells that it lacks cannot be compared.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahsar.errors import DataError, WorkloadError
from ahsar.lab import arms, data
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import DATA
from ahsar.lab.spec.toml import read_toml
from ahsar.lab.spec.workload import Workload

FOLDER = Path(__file__).parent / "matrices"
WHOLE = "."
_ONLY_MATRIX = {"cells", "defaults"}  # tables that no workload has
_AXES = ("data", "model", "paradigm")
_TABLES = ("data", "model", "paradigm", "optimizer", "budget", "target", "seeds", "constant")


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        name: DATA-MODEL-PARADIGM; of a study of one workload, the workload's.
        workload: with the tuned learning rate and target, or those of the file if it is not tuned yet.
        path: of the data below --data; "" for data that needs none, "." where --data is the data itself.
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
        """The arms to run: all placebos of a workload; of a matrix everything, but --quick leaves the placebos and rivals to
        the cells marked for them."""
        if not self.axes:
            return arms.expand(None, self.workload)
        whole = self.rivals or not self.workload.quick
        names = list(arms.PLACEBOS) if whole else ["baseline", "ahsar", arms.CONSTANT]
        return arms.expand([*names, arms.ALL_RIVALS] if whole else names, self.workload)

    @property
    def takes_data(self) -> bool:
        """Whether it reads a file or folder that is given."""
        return bool(self.path) and not DATA[self.workload.data.name].bundled

    def source(self, root: Path | None) -> Path | None:
        """Where the cell's data lies: below `root`, or nowhere (its public name).

        Raises:
            DataError: `root` is given, but the data is not there.
        """
        if root is None or not self.path:
            return None
        if self.path != WHOLE and not (root / self.path).exists():
            raise DataError(
                f"{root / self.path}: no data for cell {self.name!r}; --data must be a folder that holds {self.path}"
            )
        return root / self.path


@dataclass(frozen=True)
class Study:
    """The cells that are compared, tuned or tested together: of one workload, or of a matrix.

    Attributes:
        name: of the workload or the matrix.
        cells: at least one, all of one budget.
        one_constant: the scale that stands for all cells as an opponent; None where none was frozen.
    """

    name: str
    cells: tuple[Cell, ...]
    one_constant: float | None = None

    @property
    def is_matrix(self) -> bool:
        """Whether it was read from a matrix, which may have one cell as well."""
        return bool(self.cells[0].axes)

    @property
    def quick(self) -> bool:
        """Whether its workloads are the short variants, of --quick."""
        return self.cells[0].workload.quick

    @property
    def out(self) -> Path:
        """Where its results lie unless another folder is given."""
        return Path("runs") / f"{self.name}{'-quick' if self.quick else ''}"

    def folder(self, out: Path, cell: Cell) -> Path:
        """The results folder of a cell: `out` itself for a workload, a folder of the cell's name in it for a matrix."""
        return out / cell.name if self.is_matrix else out

    def choose(self, wanted: str | None, root: Path | None = None) -> list[Cell]:
        """The cells named in a comma-separated list; all for None.

        Raises:
            WorkloadError: a name is not there.
            DataError: `root` is given, where data shall lie, but none of these cells takes any.
        """
        known = {cell.name: cell for cell in self.cells}
        names = list(known) if wanted is None else wanted.split(",")
        missing = [name for name in names if name not in known]
        if missing:
            raise WorkloadError(f"no cell {missing[0]!r}; the cells are {', '.join(known)}")
        chosen = [known[name] for name in names]
        if root is not None and not any(cell.takes_data for cell in chosen):
            data.refuse(root, (cell.workload.data.name for cell in chosen))
        return chosen


def names() -> list[str]:
    """Names of the matrices that come with ahsar, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if not path.stem.endswith(".tuned"))


def load(name: str | Path, quick: bool = False) -> Study:
    """The study of a workload or a matrix, by its name or from a `.toml` file.

    Raises:
        WorkloadError: no such workload or matrix, unreadable TOML, an unknown block, or a cell that is no valid workload.
    """
    path = Path(name)
    if str(name) in names():
        path = FOLDER / f"{name}.toml"
    elif path.suffix != ".toml" and str(name) not in workload.names():
        known = f"{', '.join(workload.names())}, from the matrices {', '.join(names())}"
        raise WorkloadError(f"unknown workload {str(name)!r}: choose from {known}, or give a path to a .toml file")
    if path.suffix == ".toml":
        table = read_toml(path, "workload")
        if _ONLY_MATRIX & table.keys():
            cells = _cells(path, table, quick)
            return Study(path.stem, cells, _one_constant(path, table, cells, quick))
    spec = workload.load(name, quick)
    return Study(spec.name, (Cell(spec.name, spec, WHOLE, spec.optimizer.lr, 0.0, True, True, {}),))


def _cells(path: Path, table: dict[str, Any], quick: bool) -> tuple[Cell, ...]:
    """All cells of a matrix; raises as `load`."""
    beside = path.with_name(f"{path.stem}.tuned.toml")
    tuned = _table(read_toml(beside, "matrix"), "quick" if quick else "full", beside) if beside.exists() else {}
    cells, entries = [], table.get("cells", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise WorkloadError(f"{path}: cells = {entries!r}: must be tables, [[cells]]")
    for number, entry in enumerate(entries, 1):
        try:
            cells.append(_cell(table, entry, tuned, quick))
        except WorkloadError as error:
            raise WorkloadError(f"{path}: cell {number}: {error}") from None
    known = [cell.name for cell in cells]
    if not cells or len(set(known)) < len(known):
        raise WorkloadError(f"{path}: {'two cells have one name' if cells else 'it has no [[cells]]'}; mend the file")
    return tuple(cells)


def _one_constant(path: Path, table: dict[str, Any], cells: tuple[Cell, ...], quick: bool) -> float | None:
    """The one constant of a matrix, which every cell runs: it stands in each grid, or is the baseline's 1; raises as `load`."""
    scale = (table | _table(table, "quick", path) if quick else table).get("one_constant")
    if scale is None:
        return None
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise WorkloadError(f"{path}: one_constant = {scale!r}: it must be a number above 0")
    lacking = [cell for cell in cells if scale not in (1, *cell.workload.constant.grid)]
    if lacking:
        raise WorkloadError(
            f"{path}: one_constant = {scale!r} is not in the grid of cell {lacking[0].name!r}, "
            f"{lacking[0].workload.constant.grid}: add it there, or say `quick.one_constant` if it is for --quick alone"
        )
    return float(scale)


def _cell(table: dict[str, Any], entry: dict[str, Any], tuned: dict[str, Any], quick: bool) -> Cell:
    entry = copy.deepcopy(entry)
    built: dict[str, Any] = copy.deepcopy(_table(table, "defaults"))
    axes = {}
    for axis in _AXES:
        axes[axis] = entry.pop(axis, None)
        blocks = _table(table, axis)
        if not isinstance(axes[axis], str) or axes[axis] not in blocks:
            raise WorkloadError(f"{axis} = {axes[axis]!r}: choose from {', '.join(blocks)}")
        block = copy.deepcopy(_table(blocks, axes[axis]))
        # beside its own fields a block may bring other tables, and a quick budget of them
        _lay(built, {key: block.pop(key) for key in [*_TABLES, "quick"] if isinstance(block.get(key), dict)})
        _lay(built, {axis: block})
    name = "-".join(axes.values())
    rivals, floor = entry.pop("rivals", False), entry.pop("floor", 0.0)
    _lay(built, entry)
    path = _table(built, "data").pop("path", "")
    for key, value, kind in (("rivals", rivals, bool), ("floor", floor, (int, float)), ("data.path", path, str)):
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise WorkloadError(f"{key} = {value!r}: must be {'a number' if key == 'floor' else 'a text or a truth value'}")
    built.update(name=name, title=" · ".join(axes.values()))
    middle = workload.parse(copy.deepcopy(built), quick).optimizer.lr
    frozen = _table(tuned, name)
    if frozen:
        if lacking := {"lr", "target"} - frozen.keys():
            raise WorkloadError(f"what was tuned for it lacks {min(lacking)!r}: run `ahsar tune` again")
        _lay(built, {"quick": {"optimizer": {"lr": frozen["lr"]}, "target": {"value": frozen["target"]}}} if quick else {
            "optimizer": {"lr": frozen["lr"]}, "target": {"value": frozen["target"]}
        })  # fmt: skip
    return Cell(name, workload.parse(built, quick), path, middle, floor, bool(frozen), rivals, axes)


def _table(tables: dict[str, Any], key: str, where: Path | None = None) -> dict[str, Any]:
    """A table out of others, {} if there is none."""
    found = tables.get(key, {})
    if not isinstance(found, dict):
        raise WorkloadError(f"{f'{where}: ' if where else ''}{key} = {found!r}: must be a table")
    return found


def _lay(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Lay tables over tables, key by key."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay(below[key], value)
        else:
            below[key] = copy.deepcopy(value)
