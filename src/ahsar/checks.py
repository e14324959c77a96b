"""What a controller should tell its user: layers that never ran, and set-points out of reach."""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NoReturn

from torch import nn

from . import controller, functional
from .config import Config
from .discovery import OUTSIDE
from .errors import SensingError
from .glance import NO_SPIKES
from .state import ControllerState

# updates below a rate of 1 % after which a layer is named
SILENT_FOR = 20
# names that one message lists
_NAMED = 4
# of the logarithm of a bound of reach: from there on a scale is at it
_NEAR = 0.98


def no_steps(what: str, follows: str | None) -> dict[str, str]:
    """Training goes on without the controller, once: what was done since its last step."""
    reason = "it follows no optimizer" if follows is None else f"the {follows} that it follows does not step"
    return {
        "pace": f"{what} without a step of the controller: {reason}. If there is a new optimizer, say "
        "homeostat.follow(new_optimizer); if weights are updated past any optimizer's step(), say homeostat.follow(None), or "
        "attach(model, None), and call homeostat.step() after each update"
    }


def refuse_idleness() -> NoReturn:
    """Raise for an update that has nothing to act on."""
    raise SensingError(
        "step() without a training forward since the last update: no spiking layer ran. Call model.train() before "
        "the forward (eval mode counts within homeostat.adapting() only), or wrap what should not count in "
        "homeostat.paused(), as steps whose forwards run in torch.func (vmap, grad), a tracer or a traced copy of the model, "
        "where nothing is sensed; if it is compiled, "
        "attach(compile=True) must come first: hooks cannot fire in a model compiled before attach"
    )


_UNHEARD = (
    "If it runs all the same, hooks do not fire there: attach before compiling, with compile=True, and call modules, never "
    "their forward(); or torch.func runs it (vmap, grad), where nothing is sensed"
)


def refuse_unused(missing: Sequence[str]) -> NoReturn:
    """Raise for layers that have not run, as `Config(unused="error")` asks."""
    raise SensingError(
        f"layer {_named(missing)} did not run in any training forward. {_UNHEARD}. If it is only used in some forwards, set "
        'Config(unused="hold"); if it should not be regulated, leave it out with layers='
    )


def unused(missing: Sequence[str]) -> dict[str, str]:
    """Layers that have not run by the first update, in one warning; read as silent, they would be led to the floor."""
    if not missing:
        return {}
    return {
        f"unused {', '.join(missing)}": f"layer {_named(missing)} has not run in any training forward yet: its threshold "
        f"stays as you set it until it does. {_UNHEARD}. If it should never be regulated, as where its spikes will be the "
        "model's answer, leave it out with layers=; "
        'Config(unused="error") refuses such layers'
    }


def kept_outside(names: Sequence[str]) -> dict[str, str]:
    """Layers that modules keep where PyTorch does not find them, in one warning."""
    if not names:
        return {}
    return {
        "outside": f"layer {_named(names)} is not regulated: {OUTSIDE}. The model's to(), train() and state_dict() do not "
        "reach it either. If it is no part of what is trained, all is well"
    }


def answers_untold() -> dict[str, str]:
    """Whether layers' spikes are the model's answer could not be told."""
    return {
        "answers": "it could not be told whether the spikes of some layer are the model's answer, in which case its rate "
        "should not be regulated: the attached model itself was not called, or it is compiled, which hides its graph. Name the "
        'hidden layers with layers=, or say layers="all"'
    }


def nothing_left(reasons: Mapping[str, str]) -> dict[str, str]:
    """No layer is left to regulate."""
    layers = ", ".join(f"layer {name!r} since {reason}" for name, reason in reasons.items())
    return {
        "answers": f"nothing is regulated: all spiking layers are left alone, {layers}. To regulate layers whose spikes are "
        'the answer all the same, say layers="all"'
    }


def no_spikes(names: Sequence[str]) -> dict[str, str]:
    """Layers that give no spikes, in one warning."""
    return _of_each(
        "spikes",
        dict.fromkeys(names, f"is left alone: {NO_SPIKES}"),
        "If its spikes are elsewhere in what forward returns, say where with ahsar.register_adapter(cls, threshold=..., "
        "spikes=index, key or callable); if it is a readout, all is well: leave it out with layers=",
    )


def too_high(reasons: Mapping[str, str]) -> dict[str, str]:
    """Layers whose threshold says that they shall never fire, in one warning."""
    return _of_each(
        "high",
        {name: f"is left alone: {reason}" for name, reason in reasons.items()},
        "If it is a readout, all is well: leave it out with layers=. "
        'If it should fire, mend its threshold; layers="all", or its name, has it regulated as it is',
    )


def out_of_reach(ceilings: Mapping[str, float], config: Config) -> dict[str, str]:
    """Layers that by construction cannot fire often enough, in one warning; `ceilings`: highest rate by name."""
    low = config.set_point * config.band[0]
    return _of_each(
        "ceiling",
        {
            name: f"can reach a rate of {ceiling:.3g} at most (inhibition lets one neuron fire), below the band, which begins "
            f"at {low:g}"
            for name, ceiling in ceilings.items()
            if ceiling < low and not config.trained
        },
        "Leave it out with layers=, or lower Config.set_point",
    )


def silent(state: ControllerState, model: nn.Module) -> dict[str, str]:
    """Layers of the model that have hardly fired for long, whatever their scale, in one warning; or its weights that are
    not finite, which are the cause then, and no threshold can mend it. Copies from the device.
    """
    quiet = {name: updates for name, updates in state.by_name(state.silent).items() if updates >= SILENT_FOR}
    if not quiet:
        return {}
    if broken := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        return {
            "weights": f"weights of {_named(broken)} are not finite: "
            f"training diverged, and layer {_named(quiet)} fell silent because of it. Lower the learning "
            "rate, clip gradients, or take a surrogate whose gradient is finite everywhere"
        }
    worst = max(quiet, key=lambda name: quiet[name])
    count = (
        f"{len(quiet)} layers ({_named(quiet)}) have had rates below 1 %, layer {worst!r}"
        if len(quiet) > 1
        else (f"layer {worst!r} has had a rate below 1 %")
    )
    message = (
        f"{count} for {quiet[worst]:.0f} updates; its scale is {state.by_name(state.scale)[worst]:.3g}. Are thresholds far "
        "above their input? Start with homeostat.calibrate(batches), larger initial weights or lower thresholds, widen "
        "Config.reach, or leave such layers out with layers="
    )
    return {f"silent {name}": message for name in quiet}


def at_bounds(log_scale: float, config: Config) -> tuple[bool, bool]:
    """Whether a scale is at the lower bound of `Config.reach`, and at the upper one."""
    low, high = (math.log(edge) for edge in config.reach)
    return log_scale <= _NEAR * low, log_scale >= _NEAR * high


def off_the_band(state: ControllerState, config: Config) -> dict[str, str]:
    """Layers whose smoothed rate is outside the edges of rescue with their scale at its bound, in one warning.

    Copies from the device.
    """
    if config.reaction == 0 or state.held is not None:
        return {}
    far, places, scales = {}, state.by_name(state.log_scale), state.by_name(state.scale)
    aims, rates = state.by_name(controller.set_point(state, config)), state.rates()
    for name, rate in rates.items():
        at_low, at_high = at_bounds(places[name], config)
        below = rate < config.rescue[0] * aims[name] and at_low
        above = rate > config.rescue[1] * aims[name] and at_high
        if (below and rate >= functional.SILENT) or above:
            far[name] = (
                f"cannot reach the set-point {aims[name]:.3g}: rate {rate:.3g} at scale {scales[name]:.3g}, the bound"
                f"{' (are these spikes, and not its membrane?)' * (rate > 0.95)}"
            )
    return _of_each("reach", far, "Widen Config.reach, move Config.set_point, or leave it out with layers=")


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
    """Layers whose spikes made no rate in [0, 1] since the last epoch, in one warning. Copies from the device."""
    return _of_each(
        f"finite {state.epochs}",
        {
            name: f"gave NaN or infinite spikes, or more than it has outputs, in {count:.0f} updates of this epoch; its scale "
            "was kept"
            for name, count in state.by_name(state.bad).items()
            if count > 0
        },
        "Did training diverge? Lower the learning rate, or clip gradients. Or was it registered with binary=True, and its "
        "spikes are not 0 or 1?",
    )


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


def _named(names: Collection[str]) -> str:
    """The first few of some names."""
    return ", ".join(map(repr, islice(names, _NAMED))) + _others(len(names))


def _others(count: int) -> str:
    left = count - _NAMED
    return f" and {left} other{'s' * (left > 1)}" if left > 0 else ""


def _of_each(kind: str, said: Mapping[str, str], advice: str) -> dict[str, str]:
    """One message of all layers of which the same is to be said, under a key for each; the first few are named."""
    listed = [f"layer {name!r} {what}" for name, what in said.items()]
    text = "; ".join(listed[:_NAMED]) + f"{_others(len(listed))}. {advice}"
    return {f"{kind} {name}": text for name in said}
