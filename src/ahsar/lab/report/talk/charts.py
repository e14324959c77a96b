"""Two charts that several pictures for a talk share: one number with its interval a row, and many numbers in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ahsar.lab.report.style import COLOURS, FAINT, INK, SOFT, log_axis
from ahsar.lab.report.talk.slide import LEAST, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOST, _WON = 4, 2  # so many are listed
_FOR_NAMES = 0.62  # of the height of the data, above them
GAIN, LOSS = COLOURS["ahsar"], "#B3261E"


@dataclass(frozen=True)
class Row:
    """One number: what it is of, its value, its 95 % interval where there is one, how it is written, and its colour."""

    name: str
    value: float
    ci95: Sequence[float] | None
    said: str
    ink: Any = INK


def rows(ax: "Axes", shown: Sequence[Row], level: float, log: bool = False) -> None:
    """From top to bottom; `level` is what they are held against."""
    places = range(len(shown) - 1, -1, -1)
    ends = [end for row in shown for end in (row.value, *(row.ci95 or ()))]
    for y, row in zip(places, shown, strict=True):
        if row.ci95:
            ax.plot(row.ci95, [y, y], color=row.ink, linewidth=4, alpha=0.45, solid_capstyle="butt")
        ax.plot(row.value, y, "o", color=row.ink, markersize=13)
        ax.annotate(
            row.said, (1.0, y), xycoords=("axes fraction", "data"), xytext=(12, 0), textcoords="offset points",
            va="center", fontsize=TEXT, color=row.ink, annotation_clip=False,
        )  # fmt: skip
    if log:
        log_axis(ax, min(*ends, level) / 1.2, max(*ends, level) * 1.2, "{:g}×", most=5)
    else:
        ax.margins(x=0.08)
        ax.locator_params(axis="x", nbins=6)
    ax.axvline(level, color=SOFT, linewidth=1.5, zorder=1)
    ax.set_yticks(list(places), [row.name for row in shown], fontsize=TEXT)
    for label, row in zip(ax.get_yticklabels(), shown, strict=True):
        label.set_color(row.ink)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=FAINT, linewidth=1)
    ax.spines["left"].set_visible(False)


def ranked(
    ax: "Axes", values: Mapping[str, float], level: float, tolerated: tuple[float, float], said: Callable[[float], str]
) -> None:
    """All values from the lowest to the highest, as stems from `level`; where few are high, above, the extremes are listed.

    Args:
        tolerated: within these a value is level.
        said: how a value is written.
    """
    order = sorted(values, key=lambda name: values[name])
    low, high = tolerated
    for x, name in enumerate(order):
        value = values[name]
        ink = LOSS if value < low else GAIN if value > high else SOFT
        ax.plot([x, x], [level, value], color=ink, linewidth=3, alpha=0.5)
        ax.plot(x, value, "o", color=ink, markersize=10)
    ax.axhline(level, color=SOFT, linewidth=1.5, zorder=1)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.margins(x=0.03, y=0.06)
    change = ax.yaxis.get_transform()
    bottom, top = change.transform(ax.get_ylim())
    ax.set_ylim(top=float(change.inverted().transform([bottom + (top - bottom) * (1 + _FOR_NAMES)])[0]))
    lost = [(name, LOSS) for name in order if values[name] < low][:_LOST]
    won = [(name, GAIN) for name in reversed(order) if values[name] > high][:_WON]
    for i, (name, ink) in enumerate(lost + won):
        below: dict[str, Any] = {"xytext": (10, -1.25 * LEAST * i), "textcoords": "offset points", "xycoords": "axes fraction"}
        ax.annotate(f"{said(values[name])}  {name}", (0, 1), va="top", fontsize=LEAST, color=ink, **below)
