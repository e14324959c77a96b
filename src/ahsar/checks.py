"""What a controller should tell its user: layers that never ran, and set-points out of reach."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NoReturn

from torch import nn

from . import controller, functional
from .config import Config
from .errors import SensingError
from .state import ControllerState

# updates below a rate of 1 % after which a layer is named
SILENT_FOR = 20


def say(said: set[str], messages: Mapping[str, str]) -> None:
    """Warn of each thing once per key; `said` holds the keys so far."""
    for key, message in messages.items():
        if key not in said:
            said.add(key)
            warnings.warn(message, UserWarning, stacklevel=3)


def refuse_idleness() -> NoReturn:
    """Raise for an update that has nothing to act on."""
    raise SensingError(
        "step() without a training forward since the last update: no spiking layer ran. Call model.train() before "
        "the forward (eval mode counts within homeostat.adapting() only), or wrap what should not count in "
        "homeostat.paused(); if it is compiled, "
        "attach(compile=True) must come first: hooks cannot fire in a model compiled before attach"
    )


def refuse_silence(missing: list[str]) -> NoReturn:
    """Raise for layers whose hooks never fired: read as silent, they would drive their thresholds to the floor."""
    raise SensingError(
        f"layer {', '.join(map(repr, missing))} did not run in any training forward. If the model was compiled before "
        "attach, or runs through to_functional_forward or a memory optimiser, hooks cannot fire: attach first, with "
        "compile=True where it is compiled. If it is only "
        'used in some forwards, set Config(unused="hold"); if it should not be regulated, leave it out with layers='
    )


def answers_untold() -> dict[str, str]:
    """Whether layers' spikes are the model's answer could not be told."""
    return {
        "answers": "it could not be told whether the spikes of some layer are the model's answer, in which case its rate "
        "should not be regulated: the attached model itself was not called, or it is compiled, which hides its graph. Name the "
        'hidden layers with layers=, or say layers="all"'
    }


def all_answers(names: Sequence[str]) -> dict[str, str]:
    """No layer is left to regulate."""
    return {
        "answers": f"the spikes of {', '.join(map(repr, names))} are the model's answer, and there is no other spiking layer: "
        'nothing is regulated. To regulate them all the same, say layers="all"'
    }


def out_of_reach(ceilings: Mapping[str, float], config: Config) -> dict[str, str]:
    """Layers that by construction cannot fire often enough, each with a warning; `ceilings`: highest rate by name."""
    low = config.set_point * config.band[0]
    return {
        f"ceiling {name}": f"layer {name!r} can reach a rate of {ceiling:.3g} at most (inhibition lets one "
        f"neuron fire), below the band, which begins at {low:g}: leave it out with layers=, or lower Config.set_point"
        for name, ceiling in ceilings.items()
        if ceiling < low and not config.trained
    }


def silent(state: ControllerState, model: nn.Module) -> dict[str, str]:
    """Layers of the model that have hardly fired for long, whatever their scale, each with a warning; or its weights that are
    not finite, which are the cause then, and no threshold can mend it. Copies from the device.
    """
    quiet = {name: updates for name, updates in state.by_name(state.silent).items() if updates >= SILENT_FOR}
    if not quiet:
        return {}
    if broken := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        return {
            "weights": f"weights of {', '.join(map(repr, broken[:3]))}{' and others' * (len(broken) > 3)} are not finite: "
            f"training diverged, and layer {', '.join(map(repr, quiet))} fell silent because of it. Lower the learning "
            "rate, clip gradients, or take a surrogate whose gradient is finite everywhere"
        }
    scales = state.by_name(state.scale)
    return {
        f"silent {name}": f"layer {name!r} has had a rate below 1 % for {updates:.0f} updates; its scale is "
        f"{scales[name]:.3g}. Is its threshold far above its input? Mend the threshold or the initial weights, widen "
        "Config.reach, or leave the layer out with layers="
        for name, updates in quiet.items()
    }


def off_the_band(state: ControllerState, config: Config) -> dict[str, str]:
    """Layers whose smoothed rate is outside the edges of rescue with their scale at its bound, each with a warning.

    Copies from the device.
    """
    if config.reaction == 0 or state.held is not None:
        return {}
    low, high = (math.log(edge) for edge in config.reach)
    messages, places, scales = {}, state.by_name(state.log_scale), state.by_name(state.scale)
    aims = state.by_name(controller.set_point(state, config))
    for name, rate in state.rates().items():
        below = rate < config.rescue[0] * aims[name] and places[name] <= 0.98 * low
        above = rate > config.rescue[1] * aims[name] and places[name] >= 0.98 * high
        if (below and rate >= functional.SILENT) or above:
            messages[f"reach {name}"] = (
                f"layer {name!r} cannot reach the set-point {aims[name]:.3g}: rate {rate:.3g} at scale {scales[name]:.3g}, the "
                "bound. Widen Config.reach, move Config.set_point, or leave the layer out with layers="
            )
    return messages


def not_arrived(state: ControllerState, config: Config, tolerance: float) -> dict[str, str]:
    """Layers that calibration did not bring within `tolerance` of the set-point, in one warning. Copies from the device."""
    aims = state.by_name(controller.set_point(state, config))
    far = {name: rate for name, rate in state.rates().items() if abs(rate - aims[name]) > tolerance * aims[name]}
    if not far:
        return {}
    return {
        f"calibrate {', '.join(far)}": "calibrate() did not reach the set-point "
        f"{config.set_point:.3g}: {', '.join(f'layer {name!r} is at rate {rate:.3g}' for name, rate in far.items())}. Allow "
        "more updates or a wider tolerance, widen Config.reach, or move Config.set_point"
    }


def not_finite(state: ControllerState) -> dict[str, str]:
    """Layers whose spikes were NaN or infinite since the last epoch, each with a warning. Copies from the device."""
    return {
        f"finite {state.epochs} {name}": f"layer {name!r} gave NaN or infinite spikes in {count:.0f} updates of this "
        "epoch; its scale was kept. Did training diverge? Lower the learning rate, or clip gradients"
        for name, count in state.by_name(state.bad).items()
        if count > 0
    }


def compiled_number(name: str) -> dict[str, str]:
    """A layer in a compiled model whose threshold is a number: it compiles anew when the number changes."""
    return {
        f"compiled {name}": f"layer {name!r} keeps its threshold as a number, which torch.compile takes for a "
        "constant, so every update compiles anew: attach with compile=True"
    }


def sets_its_threshold(name: str) -> dict[str, str]:
    """A layer whose forward sets the threshold, or a hook of the user's that runs meanwhile."""
    return {
        f"sets {name}": f"the forward of layer {name!r}, or a hook on it, sets the threshold that is scaled. What it sets "
        "counts as scaled already, as a neuron that moves its threshold has read the scaled one. If it computes the threshold "
        "anew instead, the scale has no effect: register the attribute that it computes it from, or leave the layer out with "
        "layers="
    }
