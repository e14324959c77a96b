"""What the figures for print share: results folders in, panels of print size with labelled lines, PNG and SVG out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.errors import ResultsError
from ahsar.files import write_whole
from ahsar.lab.arms.names import constant_scale
from ahsar.lab.report import style
from ahsar.lab.results.records import Record, arms_of, read
from ahsar.lab.spec.catalogue import PARADIGMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 7.1, 4.6  # inches: two columns of a page, and a panel that stands alone
SIZE, SMALL = 8.5, 8.0  # points, at that width
DPI = 200
Ends = list[tuple[float, str, Any]]


@dataclass(frozen=True)
class Comparison:
    """One results folder.

    Attributes:
        title: its workload and training method.
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
    return Comparison(_title(folder, records[0]), dict(sorted(constants.items())), arms.get("ahsar", []))


def panels(count: int, height: float = 2.5) -> "tuple[Figure, list[Axes]]":
    """A figure with this many axes in rows of up to two, `height` inches each."""
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
    ax.set_title(title, loc="left", fontsize=SIZE + 0.5, color=style.INK, pad=5)
    ax.set_xlabel(x, fontsize=SIZE, color=style.SOFT)
    ax.set_ylabel(y, fontsize=SIZE, color=style.SOFT)


def legend(ax: "Axes", handles: Sequence[Any]) -> None:
    """A legend of what has no label at its end, where it hides least."""
    if handles:
        ax.legend(handles=list(handles), loc="best", fontsize=SMALL, labelcolor=style.SOFT, frameon=False, handlelength=1.4)


def shades(name: str, count: int, low: float = 0.0, high: float = 1.0) -> list[Any]:
    """`count` colours from `low` to `high` of a colour map, both in [0, 1]."""
    from matplotlib import colormaps

    chosen = colormaps[name]
    return [chosen(low + (high - low) * (i / max(1, count - 1))) for i in range(count)]


def end_labels(ax: "Axes", ends: Ends) -> None:
    """A label beside the end of each line, (height in data, text, colour), pushed apart, with a thin leader to its line.

    Of lines that end level the first is labelled on top.
    """
    from matplotlib.transforms import ScaledTranslation

    made = ax.get_figure(root=True)
    assert made is not None
    low, high = ax.get_ylim()
    inches = ax.get_position().height * made.get_size_inches()[1]
    ordered, gap = sorted(reversed(ends), key=lambda end: end[0]), 1.15 * SMALL / 72 / inches * (high - low)
    heights = style.apart([end[0] for end in ordered], low + gap / 2, high - gap / 2, gap)
    edge = ax.get_yaxis_transform()  # x from 0 to 1 over the axes, y in data
    beside = edge + ScaledTranslation(13 / 72, 0, made.dpi_scale_trans)
    leader = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
    for height, (end, text, ink) in zip(heights, ordered, strict=True):
        ax.annotate(
            text,
            (1.0, end),
            xytext=(1.0, height),
            xycoords=edge,
            textcoords=beside,
            va="center",
            fontsize=SMALL,
            color=ink,
            annotation_clip=False,
            arrowprops={**leader, "color": ink},
        )


def write(name: str, draw: Callable[[Sequence[Comparison]], "Figure"], folders: Sequence[Path], out: Path) -> list[Path]:
    """Draw several results folders into `out`/`name`.png and .svg; both are made before one is written."""
    made = draw([comparison(Path(folder)) for folder in folders])
    content = {kind: style.rendered(made, kind, DPI) for kind in ("png", "svg")}
    return [write_whole(Path(out) / f"{name}.{kind}", data) for kind, data in content.items()]


def _title(folder: Path, record: Record) -> str:
    name = record["workload"] + (" (quick)" if record["quick"] else "")
    try:
        method = json.loads((folder / "workload.json").read_text(encoding="utf-8"))["workload"]["paradigm"]["name"]
    except (OSError, ValueError, KeyError, TypeError):  # records may stand alone
        return name
    if method in record["workload"].split("-"):  # cells of a matrix name it themselves
        return name
    label = PARADIGMS[method].label if method in PARADIGMS else ""
    return f"{name}, {label or method}"
