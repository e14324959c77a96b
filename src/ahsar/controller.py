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
# progress (8) down to which validation holds: the best of many noisy values lies about so far above their mean
HOLDS = -1.0
# rises of the gain in a row that save nothing, after which it stays
FUTILE = 3


def set_point(state: ControllerState, config: Config) -> Tensor:
    """r* of each layer, [L]: its own where it has one, and lower as the gain has raised thresholds.

    Over G², which is about how rates near r* answer to thresholds times G.
    """
    return torch.where(state.own.isnan(), config.set_point, state.own) / state.gain**2


def scales(state: ControllerState, config: Config) -> Tensor:
    """Equation (5): the factor on each threshold, [L], times G of (9), which is for layers that were heard alone."""
    alone = state.log_scale.exp()
    return alone if state.gain == 1.0 else torch.where(state.heard > 0, alone * state.gain, alone)


def update(state: ControllerState, spikes: Tensor, counts: Tensor, config: Config, scales: Scales = scales) -> ControllerState:
    """The fast loop, equations (1) to (5).

    Args:
        spikes, counts: [L], spikes and outputs since the last update over all ranks, in the order of the state.
        scales: what a scale is made of.
    """
    rates = functional.rate(spikes, counts)
    average, heard = functional.smooth(state.average, state.heard, rates, config.beta)
    silent = rates < functional.SILENT
    news = replace(
        state,
        average=average,
        heard=heard,
        # the last size seen: layers may miss updates
        sizes=torch.where(counts > 0, counts, state.sizes),
        silent=torch.where(rates.isnan(), state.silent, torch.where(silent, state.silent + 1, 0.0)),
        bad=state.bad + ~(spikes.abs() < math.inf),
        updated=True,
    )
    if state.held is not None:
        return news
    known = rates.abs() < math.inf
    free = state.led < config.grace
    # a layer that learns its own set-point is not led
    learns = state.own.isnan() if config.trained else torch.zeros_like(free)
    waiting = functional.waits(silent, free & ~learns)
    open_to = known & free & ~waiting & ~learns
    moved = state.log_scale != 0
    deviation = functional.centre(average, set_point(state, config), moved, config.band, config.lead, config.limit)
    resists = open_to & functional.resists(state.pushed, state.average, average, config.response)
    open_to &= ~resists
    correction = functional.diffuse(torch.where(open_to, deviation, 0.0), open_to & ~silent, config.diffusion)
    log_scale = functional.react(state.log_scale, correction, state.led, config.reaction, config.cooling)
    log_scale = functional.bound(log_scale, config.reach)
    arrived = open_to & moved & (deviation.abs() < config.tolerance)
    led = torch.where(known & free & ~waiting, state.led + 1.0, state.led)
    led = torch.where(arrived | resists | (led >= config.grace), math.inf, led)
    news = replace(
        news,
        log_scale=log_scale,
        # rates at another threshold say nothing of those at this one
        heard=torch.where(log_scale != state.log_scale, functional.FORGOTTEN * heard, heard),
        led=led,
        pushed=torch.where(known, log_scale - state.log_scale, state.pushed),
        own=torch.where(learns & (led == math.inf), average.clamp(min=functional.SILENT), state.own),
    )
    news = rescue(news, known, config)
    return replace(news, scale=scales(news, config))


def rescue(state: ControllerState, known: Tensor, config: Config) -> ControllerState:
    """Count how long resting layers have been outside the outer edges, and lead those again that do not come back.

    Args:
        known: [L], bool: layers with a rate in this update.
    """
    aim = set_point(state, config)
    outside = (state.average < config.rescue[0] * aim) | (state.average > config.rescue[1] * aim)
    resting = known & (state.led == math.inf)
    counted = torch.where((state.away < 0) | outside, state.away + 1.0, 0.0)
    away = torch.where(resting, counted, state.away)
    again = resting & (away >= config.patience)
    return replace(state, away=torch.where(again, -float(config.pause), away), led=torch.where(again, 0.0, state.led))


def lead_anew(state: ControllerState) -> ControllerState:
    """The same state with every layer free to be led again."""
    blank = torch.zeros_like(state.led)
    return replace(state, led=blank, pushed=blank, away=blank, spacing=1)


def at_rest(state: ControllerState) -> Tensor:
    """Whether every layer heard of rests within the edges of rescue, so that it need not be sensed often. Bool, 0-d."""
    rests = state.led == math.inf
    return rests.any() & ((state.heard == 0) | (rests & (state.away <= 0))).all()


def energy(state: ControllerState) -> float:
    """Equation (7): the mean rate of the network. Copies from the device."""
    return functional.energy(state.average, state.sizes).item()


def close_epoch(
    state: ControllerState,
    metric: float,
    value: float,
    energy: float,
    config: Config,
    scales: Scales = scales,
    learning_rate: float | None = None,
) -> ControllerState:
    """The slow loop, equations (8) and (9), and a record of the epoch in `history`.

    Args:
        metric: of validation as the user gave it, for the record.
        value: finite, the higher the better.
        energy: of equation (7), in [0, 1].
        learning_rate: the present one, ≥ 0; None if it is not known.
    """
    before, first = state, state.epochs == 0
    mean = value if first else config.progress_beta * state.metric_mean + (1.0 - config.progress_beta) * value
    variance, weight = state.metric_variance, state.metric_weight
    if not first:
        variance, weight = functional.track(variance, weight, value - state.metric, config.progress_beta)
    progress = 0.0 if first else functional.progress(mean, state.metric_best, math.sqrt(variance))
    largest = max(state.largest_rate, learning_rate or 0.0)
    state = replace(
        state,
        epochs=state.epochs + 1,
        metric=value,
        metric_mean=mean,
        metric_best=mean if first else max(state.metric_best, mean),
        metric_variance=variance,
        metric_weight=weight,
        largest_rate=largest,
        last_energy=energy,
        bad=torch.zeros_like(state.bad),
    )
    if config.frugal and state.held is None and before.epochs > 1:
        pace = 1.0 if learning_rate is None or largest == 0 else learning_rate / largest
        state = _spend_less(state, before, progress, pace, config)
        if state.gain != before.gain:
            state = replace(state, scale=scales(state, config))
    record = {
        "epoch": state.epochs,
        "metric": metric,
        "energy": energy,
        "progress": progress,
        "gain": state.gain,
        "rates": state.rates(),
        "scales": state.by_name(state.scale),
    }
    return replace(state, history=(*state.history, record))


def _spend_less(
    state: ControllerState, before: ControllerState, progress: float, pace: float, config: Config
) -> ControllerState:
    """Equation (9): thresholds rise while validation holds, and fall back where it does not.

    They stay where activity is at its floor, or where it did not fall in the last epochs however they rose: weights made up
    for it.
    """
    holds, past = progress >= HOLDS, state.history
    rose = len(past) > 1 and past[-1]["gain"] > past[-2]["gain"]
    fell = state.last_energy < 0.98 * before.last_energy
    futile = state.futile if not rose else 0 if fell else state.futile + 1
    if holds and (state.last_energy < config.floor or futile >= FUTILE):
        return replace(state, futile=futile)
    gain, stride = functional.adjust_gain(state.gain, holds, config.gamma * state.stride, pace, config.gain_limit)
    return replace(state, gain=gain, stride=stride / config.gamma if config.gamma else state.stride, futile=futile)


def hold(state: ControllerState, scales: float | Mapping[str, float]) -> ControllerState:
    """Fix the scales: one for all layers, or those named, and the others as they are. Copies from the device.

    Raises:
        ConfigError: there is no such layer, or a scale is not finite and > 0.
    """
    wanted = dict(scales) if isinstance(scales, Mapping) else dict.fromkeys(state.names, scales)
    for name, value in wanted.items():
        if name not in state.names:
            raise ConfigError(f"hold(): no layer {name!r}; the layers are {', '.join(state.names)}")
        try:
            fits = not isinstance(value, str) and 0 < float(value) < math.inf
        except (OverflowError, TypeError, ValueError):
            fits = False
        if not fits:
            raise ConfigError(f"hold(): scale {value!r} of layer {name!r} must be finite and > 0")
    now = state.by_name(state.scale)
    held = {name: float(wanted.get(name, now[name])) for name in state.names}
    return replace(state, held=held, scale=state.scale.new_tensor(list(held.values())))


def release(state: ControllerState, config: Config, scales: Scales = scales) -> ControllerState:
    """Give the scales back to the controller."""
    free = replace(state, held=None, pushed=torch.zeros_like(state.pushed))
    return replace(free, scale=scales(free, config))
