"""The pictures of a comparison, from its trial records."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ahsar.lab.arms.names import constant_scale, kind_of
from ahsar.lab.report import labels, style
from ahsar.lab.report.comparison.heatmaps import layers
from ahsar.lab.report.curves import middle_half, steps_of
from ahsar.lab.report.text import arm_name, count
from ahsar.lab.results import stats, times
from ahsar.lab.results.constants import best_constant
from ahsar.lab.results.records import Record, arms_of, best_rivals, is_rival, known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Arms = dict[str, list[Record]]
NOTHING = "No trial finished, so there is nothing to draw.\nThe report lists the errors."


def draw(records: Iterable[Record], out: Path, kind: str = "png") -> list[Path]:
    """Draw all pictures into the folder `out` as PNG files, or "svg"; returns their paths, in the order of the page.

    learning.png, survival.png, layers.png, spikes.png, and scales.png where two or more constant scales finished. Of every
    rival the pictures show the best of its numbers; the table has them all.
    """
    rows = list(records)
    every = arms_of(rows)
    best = best_constant(rows)
    rivals = best_rivals(rows)
    shown = {arm: trials for arm, trials in every.items() if arm in ("baseline", "ahsar", best, "shuffled", *rivals)}
    made = {
        "learning": learning(shown),
        "survival": survival(shown),
        "layers": layers(every),
        "spikes": spikes({arm: trials for arm, trials in every.items() if not is_rival(arm) or arm in rivals}),
    }
    if sum(constant_scale(arm) is not None for arm in every) > 1:
        made["scales"] = scales(every)
    return [style.save(picture, Path(out) / f"{name}.{kind}") for name, picture in made.items()]


def learning(arms: Arms) -> "Figure":
    """Validation metric against steps and against seconds: median over trials, and the band of the middle half."""
    made, axes = style.figure(2, width=12.0, sharey=True)
    if not any(arms.values()):
        return _empty(made, axes)
    first = next(iter(arms.values()))[0]
    ends: list[tuple[float, str, str]] = []
    for arm, trials in arms.items():
        last = max(point["seconds"] for trial in trials for point in trial["curve"])
        for ax, key, grid in ((axes[0], "step", steps_of(trials)), (axes[1], "seconds", np.linspace(0, last, 120))):
            where, (low, middle, high) = middle_half(trials, key, grid)
            if not where.size:
                continue
            _line(ax, arm, where, middle)
            if not is_rival(arm):  # their bands would hide the lines
                ax.fill_between(where, low, high, color=style.colour(arm), alpha=0.13, linewidth=0)
            if ax is axes[1]:
                ends.append((float(middle[-1]), arm_name(arm), style.colour(arm)))
    for ax in axes:
        ax.axhline(first["target"], color=style.SOFT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        ax.margins(x=0)
        ax.set_xlim(left=0)
    axes[0].annotate(
        f"target {first['target']:g}",
        (0, first["target"]),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=8.5,
        color=style.SOFT,
    )
    band = "median and middle half of the trials" if max(map(len, arms.values())) > 1 else "one trial per arm"
    style.words(axes[0], f"Learning by step ({band})", "training step", f"validation {first['metric']}")
    style.words(axes[1], "The same by the clock", "training seconds, evaluation left out")
    labels.beside([(axes[1], ends)])
    return made


def survival(arms: Arms) -> "Figure":
    """Share of trials still short of the target against steps (Kaplan–Meier); lower and further left is faster."""
    made, (ax,) = style.figure(width=9.0)
    if not any(arms.values()):
        return _empty(made, [ax])
    ends = []
    budget, target = (next(iter(arms.values()))[0][key] for key in ("budget", "target"))
    quickest = sorted(arms, key=lambda arm: stats.restricted_mean(times.to_target(arms[arm]), budget))
    for arm in quickest:  # so that names of curves that end level stand in order of speed
        trials = arms[arm]
        reached_at = times.to_target(trials)
        steps, left = stats.survival(reached_at, budget)
        _line(ax, arm, steps, left, drawstyle="steps-post")
        reached = int((~np.isnan(reached_at)).sum())
        ends.append((float(left[-1]), f"{arm_name(arm)}: {reached} of {len(trials)} reached", style.colour(arm)))
    ax.set(xlim=(0, budget), ylim=(-0.03, 1.05))
    ax.axhline(0.5, color=style.SOFT, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    ax.annotate("half", (budget, 0.5), xytext=(-4, 3), textcoords="offset points", ha="right", fontsize=8.5, color=style.SOFT)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}".replace("%", " %"))
    style.words(ax, f"Trials still short of the target ({target:g})", "training step", "trials short of the target")
    labels.beside([(ax, ends)])
    return made


def spikes(arms: Arms) -> "Figure":
    """Final test metric against spikes per sample: small dots are trials, large ones arm means, constants joined."""
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import LogLocator, NullFormatter

    made, (ax,) = style.figure(width=9.0, height=4.6)
    points = {arm: dots for arm, trials in arms.items() if arm != "attached" and len(dots := _points(trials))}
    if not points:
        return _empty(made, [ax])
    first = next(iter(arms.values()))[0]
    every = np.concatenate(list(points.values()))
    wide = bool(every[:, 0].min() > 0 and every[:, 0].max() / every[:, 0].min() > 5)
    scaled = " (log)" * wide
    if wide:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda value, _: count(value))
    ax.xaxis.set_minor_formatter(NullFormatter())
    halo = [withStroke(linewidth=2.5, foreground="white")]
    constants = sorted((arm for arm in points if constant_scale(arm) is not None), key=lambda arm: constant_scale(arm) or 0)
    means = {arm: dots.mean(axis=0) for arm, dots in points.items()}
    numbers: list[Text] = []
    if constants:
        path = np.array([means[arm] for arm in constants])
        ink = style.COLOURS["constant"]
        ax.plot(
            *path.T,
            color=ink,
            linewidth=1.4,
            marker="o",
            markersize=5,
            markerfacecolor="white",
            zorder=3,
            label="constant scales",
        )
        shared = {"ha": "center", "va": "center", "fontsize": 8, "color": ink, "path_effects": halo, "zorder": 5}
        numbers = [
            ax.text(place[0], place[1], f"{constant_scale(arm):g}", **shared)
            for arm, place in zip(constants, path, strict=True)
        ]
    for arm, dots in points.items():
        ink = style.colour(arm)
        ax.scatter(*dots.T, s=14, color=ink, alpha=0.18 if arm in constants else 0.4, linewidth=0, zorder=2)
        if arm not in constants:
            ax.scatter(*means[arm], s=95, color=ink, edgecolor="white", linewidth=1.2, zorder=4, label=arm_name(arm))
    ax.margins(y=0.1)
    ax.grid(axis="x", color=style.FAINT, linewidth=0.6)
    legend = ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=style.INK)
    legend.set_in_layout(True)
    style.words(ax, "What the spikes buy", f"spikes per sample{scaled}", f"final test {first['metric']}")
    labels.at_points(ax, numbers, [place for arm, place in means.items() if arm not in constants], radius=5)
    return made


def scales(arms: Arms) -> "Figure":
    """Every constant scale beside the controller: mean steps to target (misses count the budget), and mean rate."""
    made, axes = style.figure(2, width=12.0)
    constants = {constant_scale(arm): trials for arm, trials in arms.items() if constant_scale(arm) is not None}
    grid = sorted(scale for scale in constants if scale is not None)
    budget = next(iter(constants.values()))[0]["budget"]
    mean_scales = {arm: _mean_scale(arms[arm]) for arm in ("ahsar",) if arms.get(arm)}

    def steps(trials: Sequence[Record]) -> list[float]:
        return list(np.nan_to_num(times.to_target(trials), nan=budget))

    def rate(trials: Sequence[Record]) -> list[float]:
        return known(trials, "mean_rate")

    panels = []
    for ax, measure in ((axes[0], steps), (axes[1], rate)):
        kept = [scale for scale in grid if measure(constants[scale])]
        rows = [stats.mean_interval(measure(constants[scale])) for scale in kept]
        ink = style.COLOURS["constant"]
        ax.plot(kept, [row.estimate for row in rows], color=ink, linewidth=1.6, marker="o", markersize=5)
        ax.fill_between(kept, [row.low for row in rows], [row.high for row in rows], color=ink, alpha=0.13, linewidth=0)
        ends = [(rows[-1].estimate, "constant", ink)] if rows else []
        for arm in ("baseline", "ahsar"):
            if arms.get(arm) and (values := measure(arms[arm])):
                level = float(np.mean(values))
                ax.axhline(level, color=style.colour(arm), linewidth=1.4, linestyle=style.DASHES["constant"], zorder=2)
                ax.plot(mean_scales.get(arm, 1.0), level, "D", color=style.colour(arm), markersize=7, zorder=4)
                ends.append((level, arm_name(arm), style.colour(arm)))
        ax.set_xscale("log")
        ax.set_xticks(grid, [f"{scale:g}" for scale in grid])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        panels.append((ax, ends))
    where = "threshold scale, log (◆ AHSAR: the mean that it found)"
    style.words(axes[0], "Steps to the target by constant scale", where, "mean steps, a miss counts as the budget")
    style.words(axes[1], "Spikes by constant scale", where, "spikes per neuron and time step")
    labels.beside(panels)
    return made


def _empty(made: "Figure", axes: "Sequence[Axes]") -> "Figure":
    for ax in axes:
        ax.set_axis_off()
    style.placeholder(axes[0], NOTHING)
    return made


def _line(ax: "Axes", arm: str, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    wide, level = (2.4, 4) if arm == "ahsar" else (1.3, 2.5) if is_rival(arm) else (1.8, 3)
    dashes = style.DASHES.get(kind_of(arm), "-")
    ax.plot(x, y, color=style.colour(arm), linewidth=wide, linestyle=dashes, zorder=level, **options)


def _points(trials: Sequence[Record]) -> np.ndarray:
    """(spikes per sample, final test metric) of each trial that has both, (n, 2)."""
    both = [trial for trial in trials if len(known([trial], "spikes")) == len(known([trial], "final_test")) == 1]
    return np.array([(trial["spikes"], trial["final_test"]) for trial in both]).reshape(-1, 2)


def _mean_scale(trials: Sequence[Record]) -> float:
    """Geometric mean of the last scales over layers and trials."""
    last = [scale for trial in trials if trial["curve"] for scale in trial["curve"][-1]["scales"].values()]
    return float(np.exp(np.mean(np.log(last)))) if last else 1.0
