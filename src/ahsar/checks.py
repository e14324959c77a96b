"""What a controller should tell its user: layers that never ran, and set-points out of reach."""

import math
from typing import TYPE_CHECKING, NoReturn

from .errors import SensingError

if TYPE_CHECKING:
    from .homeostat import Homeostat
    from .layer import Layer


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


def out_of_reach(homeostat: "Homeostat") -> dict[str, str]:
    """Layers that by construction cannot fire often enough, each with a warning."""
    target = homeostat.config.set_point
    return {
        f"ceiling {layer.name}": f"layer {layer.name!r} can reach a rate of {layer.ceiling:.3g} at most (inhibition lets one "
        f"neuron fire), below the set-point {target:g}: leave it out with layers=, or lower Config.set_point"
        for layer in homeostat.layers
        if layer.ceiling < target
    }


def off_set_point(homeostat: "Homeostat") -> dict[str, str]:
    """Layers that stay off the set-point with their scale at the bound, each with a warning. Copies from the device."""
    config, target = homeostat.config, homeostat.set_point
    if config.centre != "set-point" or config.reaction == 0 or homeostat.held:
        return {}
    found = {}
    for name, rate in homeostat.rates.items():
        scale = homeostat.scales[name]
        at_bound = abs(math.log(scale)) >= 0.98 * config.reach and (rate < target) == (scale < 1)
        if at_bound and abs(rate - target) > 0.5 * target:
            found[f"reach {name}"] = (
                f"layer {name!r} cannot reach the set-point {target:.3g}: rate {rate:.3g} at scale {scale:.3g}, the bound. "
                "Widen Config.reach, move Config.set_point, or leave the layer out with layers="
            )
    return found


def not_arrived(homeostat: "Homeostat", tolerance: float) -> dict[str, str]:
    """Layers that calibration did not bring within `tolerance` of the set-point, in one warning. Copies from the device."""
    target = homeostat.set_point
    far = {name: rate for name, rate in homeostat.rates.items() if abs(rate - target) > tolerance * target}
    if not far or homeostat.config.centre != "set-point":
        return {}
    return {
        f"calibrate {', '.join(far)}": "calibrate() did not reach the set-point "
        f"{target:.3g}: {', '.join(f'layer {name!r} is at rate {rate:.3g}' for name, rate in far.items())}. Allow more "
        "updates or a wider tolerance, widen Config.reach, or move Config.set_point"
    }


def not_finite(homeostat: "Homeostat") -> dict[str, str]:
    """Layers whose spikes were NaN or infinite since the last epoch, each with a warning. Copies from the device."""
    return {
        f"finite {homeostat.epochs} {name}": f"layer {name!r} gave NaN or infinite spikes in {count:.0f} updates of this "
        "epoch; its scale was kept. Did training diverge? Lower the learning rate, or clip gradients"
        for name, count in homeostat.bad.items()
        if count > 0
    }


def compiled_numbers(layer: "Layer") -> dict[str, str]:
    """A layer in a compiled model whose threshold is a number: it compiles anew when the number changes."""
    return {
        f"compiled {layer.name}": f"layer {layer.name!r} keeps its threshold as a number, which torch.compile takes for a "
        "constant, so every update compiles anew: attach with compile=True"
    }
