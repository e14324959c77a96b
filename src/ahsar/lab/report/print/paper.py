"""What the figures for print share: results folders in, panels of print size with labelled lines, PNG and SVG out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.arms.names import constant_scale
from ahsar.lab.report import names, style
from ahsar.lab.results.records import Record, arms_of, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 7.1, 4.6  # inches: two columns of a page, and a panel that stands alone
SIZE, SMALL = 8.5, 8.0  # points, at that width
WIDEST_TITLE = 46  # letters that a panel has room for
DPI = 200


@dataclass(frozen=True)
class Comparison:
    """One results folder.

    Attributes:
        title: its data, network and training method.
        constants: finished trials by scale, in order of scale; the baseline's are those of scale 1.
        ours: finished trials of AHSAR; may be none.
    """

    title: str
    constants: dict[float, list[Record]]
    ours: list[Record]

    @property
    def first(self) -> Record:
        """Some record of the comparison, for what all have alike."""
        return next(iter(self.constants.values()))[0]


def comparison(folder: Path) -> Comparison:
    """Read a results folder. Raises ResultsError if no trial of a constant scale other than the baseline's 1 finished."""
    records = read(folder)
    arms = arms_of(records)
    constants = {scale: trials for arm, trials in arms.items() if (scale := constant_scale(arm)) is not None}
    if not set(constants) - {1.0}:
        quick = " --quick" if records[0]["quick"] else ""
        raise ResultsError(
            f"{folder}: no trial of a constant scale finished: run `ahsar compare {records[0]['workload']}{quick} "
            f"--arms baseline,ahsar,constant --out {folder}` first"
        )
    if "baseline" in arms:
        constants[1.0] = arms["baseline"]
    title = names.of_folder(folder, records[0])
    return Comparison(title, dict(sorted(constants.items())), arms.get("ahsar", []))


def panels(count: int, height: float = 2.5) -> "tuple[Figure, list[Axes]]":
    """A figure with this many axes in rows of up to two, `height` inches each, of which the axes are returned."""
    columns = min(count, 2)
    rows = -(-count // columns)
    width, tall = (NARROW, height + 0.5) if count == 1 else (WIDE, height * rows + 0.2)
    made, axes = style.figure(columns, rows, width=width, height=tall)
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[:count]:
        ax.tick_params(labelsize=SMALL)
    return made, axes[:count]


def words(ax: "Axes", title: str, x: str, y: str) -> None:
    """Title and axis names in the sizes of print."""
    ax.set_title(names.wrapped(title, WIDEST_TITLE), loc="left", fontsize=SIZE + 0.5, color=style.INK, pad=5)
    ax.set_xlabel(x, fontsize=SIZE, color=style.SOFT)
    ax.set_ylabel(y, fontsize=SIZE, color=style.SOFT)


def shades(dark: str, light: str, count: int) -> list[tuple[float, float, float]]:
    """`count` colours from one to the other, both included."""
    from matplotlib.colors import to_rgb

    first, last = to_rgb(dark), to_rgb(light)
    parts = [i / max(1, count - 1) for i in range(count)]
    return [tuple(a + part * (b - a) for a, b in zip(first, last, strict=True)) for part in parts]  # type: ignore[misc]


def write(name: str, draw: Callable[[Sequence[Comparison]], "Figure"], folders: Sequence[Path], out: Path) -> list[Path]:
    """Draw several results folders into `out`/`name`.png and .svg; both are made before one is written."""
    made = draw([comparison(Path(folder)) for folder in folders])
    content = {kind: style.rendered(made, kind, DPI) for kind in ("png", "svg")}
    return [write_whole(Path(out) / f"{name}.{kind}", data) for kind, data in content.items()]
