"""The controller as a pure function: state and sums of spikes go in, a new state comes out. It writes no thresholds.

The equations (1) to (9) stand in `ahsar.functional`; here they are put together. Ranks must hand in the same numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from . import functional
from .config import Config
from .errors import ConfigError
from .state import ControllerState

Scales = Callable[[ControllerState, Config], Tensor]


def set_point(state: ControllerState, config: Config) -> float:
    """The rate that layers are led to now: r* G with centre="set-point", r* otherwise."""
    return config.set_point * (state.gain if config.centre == "set-point" else 1.0)


def scales(state: ControllerState, config: Config) -> Tensor:
    """Equation (5): the factor on each threshold, [L], as the drive wants it; over G with centre="network"."""
    scale = functional.bound(state.drive, config.reach)
    return scale / state.gain if config.centre == "network" else scale


def update(state: ControllerState, spikes: Tensor, counts: Tensor, config: Config, scales: Scales = scales) -> ControllerState:
    """The fast loop, equations (1) to (5).

    Args:
        spikes, counts: [L], spikes and outputs since the last update over all ranks, in the order of the state.
        scales: what a scale is made of.
    """
    rates = functional.rate(spikes, counts)
    average, heard = functional.smooth(state.average, state.heard, rates, config.beta)
    news = replace(
        state,
        average=average,
        heard=heard,
        # the last size seen: layers may miss updates
        sizes=torch.where(counts > 0, counts, state.sizes),
        bad=state.bad + ~(spikes.abs() < math.inf),
        updated=True,
    )
    if state.held is not None:
        return news
    known = heard > 0
    if config.centre == "network":
        deviation = functional.centre_on_network(average, known, config.limit)
    else:
        deviation = functional.centre_on_set_point(average, set_point(state, config), config.limit)
    deviation = torch.where(known, deviation, 0.0)
    drive = functional.react_and_diffuse(state.drive, deviation, config.leak, config.reaction, config.diffusion)
    news = replace(news, drive=drive)
    return replace(news, scale=scales(news, config))


def energy(state: ControllerState) -> float:
    """Equation (7): the mean rate of the network. Copies from the device."""
    return functional.energy(state.average, state.sizes).item()


def close_epoch(
    state: ControllerState, metric: float, value: float, energy: float, config: Config, scales: Scales = scales
) -> ControllerState:
    """The slow loop, equations (8) and (9), and a record of the epoch in `history`.

    Args:
        metric: of validation as the user gave it, for the record.
        value: finite, the higher the better.
        energy: of equation (7), in [0, 1].
    """
    progress = functional.progress(value, state.metric_mean, math.sqrt(state.metric_variance))
    mean, variance, weight = functional.track(
        state.metric_mean, state.metric_variance, state.metric_weight, value, config.progress_beta
    )
    news = replace(
        state,
        epochs=state.epochs + 1,
        metric_mean=mean,
        metric_variance=variance,
        metric_weight=weight,
        bad=torch.zeros_like(state.bad),
    )
    if state.held is None:
        urge = functional.urge(progress, energy, set_point(state, config))
        news = replace(news, gain=functional.adjust_gain(state.gain, urge, config.gamma, config.gain_limit))
        if config.centre == "network":
            news = replace(news, scale=scales(news, config))
    record = {
        "epoch": news.epochs,
        "metric": metric,
        "energy": energy,
        "progress": progress,
        "gain": news.gain,
        "rates": news.rates(),
        "scales": news.by_name(news.scale),
    }
    return replace(news, history=(*state.history, record))


def hold(state: ControllerState, scales: float | Mapping[str, float]) -> ControllerState:
    """Fix the scales: one for all layers, or those named, and the others as they are. Copies from the device.

    Raises:
        ConfigError: there is no such layer, or a scale is not finite and > 0.
    """
    wanted = dict.fromkeys(state.names, scales) if isinstance(scales, (int, float)) else dict(scales)
    for name, value in wanted.items():
        if name not in state.names:
            raise ConfigError(f"hold(): no layer {name!r}; the layers are {', '.join(state.names)}")
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"hold(): scale {value!r} of layer {name!r} must be finite and > 0")
    now = state.by_name(state.scale)
    held = {name: float(wanted.get(name, now[name])) for name in state.names}
    return replace(state, held=held, scale=state.scale.new_tensor(list(held.values())))


def release(state: ControllerState, config: Config, scales: Scales = scales) -> ControllerState:
    """Give the scales back to the drive."""
    free = replace(state, held=None)
    return replace(free, scale=scales(free, config))
