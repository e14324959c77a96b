"""The look that all pictures share: one colour, dash and name per arm, quiet axes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ahsar.files import write_whole
from ahsar.lab.arms.names import kind_of
from ahsar.lab.report import narrow
from ahsar.lab.report.colours import COLOURS, FAINT, INK, PAPER, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: dict[str, Any] = {
    "constant": (0, (5, 1.6)),
    "shuffled": (0, (1.4, 1.4)),
    "attached": (0, (3, 1.5, 1, 1.5)),
    "lr": (0, (8, 2)),
    "learnable": (0, (6, 1.5, 1.5, 1.5)),
    "rate-loss": (0, (3, 1.2)),
    "adaptation": (0, (1.2, 2.4)),
    "ds-atgo": (0, (6, 1.5, 1.2, 1.5, 1.2, 1.5)),
    "fluctuation": (0, (10, 1.5)),
    "tebn": (0, (2.4, 2.4)),
}
DPI = 150
_MANY = 5  # panels from which on two stand side by side even on a phone
_stacked: ContextVar[bool] = ContextVar("stacked", default=False)


@contextmanager
def stacked() -> Iterator[None]:
    """Figures that are made within are as narrow as a phone, their panels one below the other."""
    token = _stacked.set(True)
    try:
        yield
    finally:
        _stacked.reset(token)


def colour(arm: str) -> str:
    """The colour of an arm; all constants share one, and all numbers of a rival."""
    return COLOURS.get(kind_of(arm), COLOURS["other"])


def figure(
    columns: int = 1, rows: int = 1, *, width: float = 9.0, height: float = 4.0, **options: Any
) -> "tuple[Figure, list[Axes]]":
    """A figure with rows of quiet axes, which are returned row by row; no pyplot, so that nothing global is left behind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if _stacked.get():
        options.pop("width_ratios", None)
        count, each = columns * rows, height / rows
        columns = 1 if count < _MANY else 2
        rows = -(-count // columns)
        width, height = narrow.WIDTH, each * rows
    room = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.04)
    made = Figure(figsize=(width, height), dpi=DPI, layout=room)
    FigureCanvasAgg(made)
    axes = list(made.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in axes:
        ax.tick_params(which="minor", length=0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(SOFT)
        ax.tick_params(colors=SOFT, labelsize=9, length=3)
        ax.grid(axis="y", color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
    return made, axes


def fold(made: "Figure") -> None:
    """Make what is drawn fit a phone, if the figure is for one; to be called before its layout is fixed."""
    if _stacked.get():
        narrow.fold(made)


def words(ax: "Axes", title: str, x: str = "", y: str = "") -> None:
    """Title at the left, axis names in soft ink."""
    ax.set_title(title, loc="left", fontsize=11, color=INK, pad=9)
    ax.set_xlabel(x, fontsize=9.5, color=SOFT)
    ax.set_ylabel(y, fontsize=9.5, color=SOFT)


def log_axis(ax: "Axes", low: float, high: float, form: str = "{:g}", most: int = 6) -> None:
    """A logarithmic x axis from `low` to `high` > 0, with at most so many ticks at round numbers."""
    from matplotlib.ticker import LogLocator

    if _stacked.get():
        grid = ax.get_gridspec()
        most = min(most, 5 if grid is None or grid.ncols == 1 else 3)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [tick for tick in LogLocator(subs=steps, numticks=99).tick_values(low, high) if low <= tick <= high]
        if len(ticks) <= most:
            break
    ax.set_xticks(ticks, [form.format(float(f"{tick:.3g}")) for tick in ticks])
    ax.minorticks_off()


def placeholder(ax: "Axes", text: str) -> None:
    """Say in the middle of empty axes why there is nothing to see."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=11, color=SOFT, wrap=True)


def save(made: "Figure", path: Path, dpi: int = DPI) -> Path:
    """Write the figure as PNG or SVG, whichever the path ends in; the same figure gives the same bytes."""
    return write_whole(path, rendered(made, path.suffix[1:], dpi))


def rendered(made: "Figure", kind: str, dpi: int = DPI) -> bytes:
    """The bytes of a "png" or "svg" file. SVG keeps its letters as text, and its ids follow from its content."""
    from matplotlib import rc_context
    from matplotlib.collections import QuadMesh

    buffer = io.BytesIO()
    fold(made)
    for mesh in made.findobj(QuadMesh):
        mesh.set_rasterized(True)  # in SVG one small picture, not a path for every cell
    nameless = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    with rc_context({"axes.unicode_minus": True, "svg.fonttype": "none", "svg.hashsalt": "ahsar"}):
        made.savefig(buffer, format=kind, dpi=dpi, metadata=nameless, facecolor=PAPER)
    return buffer.getvalue()
