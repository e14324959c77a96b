"""What a person sees of an attached model: a table of how its layers stand, and a picture over the epochs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import controller, functional
from .checks import SILENT_FOR, at_bounds
from .config import Config
from .errors import SensingError
from .layer import Group
from .state import ControllerState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("layer", "class", "rate", "scale", "state", "what to do")


def rows(group: Group, state: ControllerState, config: Config) -> list[list[str]]:
    """One row for each layer, under `HEADER`. Copies from the device."""
    kinds = {layer.name: type(layer.module).__name__ for layer in group.layers}
    aims, logs = state.by_name(controller.set_point(state, config)), state.by_name(state.log_scale)
    scales, led, silent = state.by_name(state.scale), state.by_name(state.led), state.by_name(state.silent)
    shown = []
    for name, rate in state.rates().items():
        place, bound = standing(rate, aims[name], config), logs[name] != 0 and any(at_bounds(logs[name], config))
        kept = "held" if state.held is not None else "resting" if led[name] == math.inf else ""
        advice = _advice(place, rate, silent[name] >= SILENT_FOR, bound)
        said = ", ".join(filter(None, (place, "at its bound" * bound, kept)))
        shown.append([name or "(the model)", kinds[name], _number(rate), _number(scales[name]), said, advice])
    return shown


def caption(group: Group, state: ControllerState, attached: bool, paused: bool) -> str:
    """The line above the table."""
    count = len(group.layers)
    said = [f"{count} spiking layer{'s' * (count != 1)}", f"{state.steps} steps", f"{state.epochs} epochs"]
    said += [f"gain {state.gain:.3g}"] * (state.gain != 1.0)
    said += ["detached"] * (not attached) + ["paused"] * (attached and paused)
    return "Homeostat: " + ", ".join(said)


def notes(group: Group) -> list[str]:
    """A line for each layer that is left alone, with the reason."""
    return [f"left alone: {name!r}, since {reason}" for name, reason in group.left_alone.items()]


def standing(rate: float, aim: float, config: Config) -> str:
    """Where a rate lies to the band around the set-point `aim`, in a word or two."""
    if math.isnan(rate):
        return "not heard yet"
    if rate < functional.SILENT:
        return "silent"
    return "low" if rate < config.band[0] * aim else "high" if rate > config.band[1] * aim else "in band"


def _advice(place: str, rate: float, long_silent: bool, bound: bool) -> str:
    if rate > 0.95:
        return "are these its spikes, and not its membrane?"
    if place == "silent" and (long_silent or bound):
        return "calibrate(), larger initial weights, a lower threshold, or leave it out: layers="
    if place in ("low", "high") and bound:
        return "widen Config.reach, move Config.set_point, or leave it out: layers="
    return ""


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def plot(history: Sequence[dict[str, Any]], config: Config) -> "Figure":
    """Rates and scales of each layer over the epochs.

    Raises:
        SensingError: no epoch was closed yet.
        ModuleNotFoundError: matplotlib is not installed.
    """
    if not history:
        raise SensingError("plot() before the first epoch(): there is no history yet; close an epoch with epoch(metric)")
    try:
        from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

        from .picture import Picture
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("plot() needs Matplotlib: pip install matplotlib", name=error.name) from error
    figure = Picture(figsize=(9.0, 3.4), layout="constrained")
    epochs = [record["epoch"] for record in history]
    names = list(history[-1]["rates"])
    of_rates, of_scales = figure.subplots(1, 2)
    low, high = (edge * config.set_point for edge in config.band)
    if not config.trained:  # there each layer has a band of its own
        of_rates.axhspan(low, high, color="0.93", label="band")
    for axes, key in ((of_rates, "rates"), (of_scales, "scales")):
        for place, name in enumerate(names):
            # depth as colour: from the input (dark) to the output (light)
            ink = _ink(place / max(1, len(names) - 1))
            values = [record[key].get(name, math.nan) for record in history]
            axes.plot(epochs, values, color=ink, marker="." * (len(epochs) < 30), label=name or "(the model)")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    of_rates.set_ylabel("firing rate")
    of_rates.set_ylim(0, None)
    of_scales.set_ylabel("scale of the threshold")
    of_scales.set_yscale("log")
    of_scales.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    of_scales.yaxis.set_major_formatter("{x:g}")
    of_scales.yaxis.set_minor_formatter(NullFormatter())
    of_scales.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
    if len(names) <= 12:
        handles, labels = of_rates.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _ink(place: float) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    red, green, blue, alpha = colormaps["viridis"](0.85 * place)
    return red, green, blue, alpha
