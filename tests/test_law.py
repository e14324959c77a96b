"""What the law promises: acquire, then rest, shown on layers whose membranes are normal."""

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist

import pytest
import torch

from ahsar import Config, controller, functional
from ahsar.state import ControllerState, initial

CPU = torch.device("cpu")
NEURONS = 10_000
Rates = Callable[[list[float]], list[float]]


def fresh(layers: int) -> ControllerState:
    return initial([f"layer{i}" for i in range(layers)], CPU)


def run(state: ControllerState, rates: Rates, config: Config, updates: int) -> list[tuple[list[float], ControllerState]]:
    """Updates of a network that answers scales with rates: what was seen, and the state after it."""
    told = []
    for _ in range(updates):
        seen = rates(state.scale.tolist())
        spikes = torch.tensor([round(r * NEURONS) for r in seen], dtype=torch.float32)
        state = controller.update(state, spikes, torch.full((len(seen),), float(NEURONS)), config)
        told.append((seen, state))
    return told


def normal(*distances: float) -> Rates:
    """Layers whose thresholds lie so many spreads above rest while their scales are 1."""
    return lambda scales: [NormalDist().cdf(-d * s) for d, s in zip(distances, scales, strict=True)]


def driven(mean: float) -> Rates:
    """A layer whose membranes lie so many spreads above rest, its threshold being one spread: it fires too often."""
    return lambda scales: [NormalDist().cdf(mean - scales[0])]


def chain(*gains: float) -> Rates:
    """A plain stack: the spread of a layer's membranes grows with the root of the rate of the layer before."""

    def rates(scales: list[float]) -> list[float]:
        before, told = 0.25, []
        for gain, scale in zip(gains, scales, strict=True):
            spread = gain * math.sqrt(before)
            before = NormalDist().cdf(-scale / spread) if spread > 0 else 0.0
            told.append(before)
        return told

    return rates


@pytest.mark.parametrize("distance", [0.05, 0.3, 0.84, 1.1, 1.5])
def test_a_healthy_layer_is_left_alone_bit_for_bit(distance: float) -> None:
    (rate,) = normal(distance)([1.0])
    assert 0.06 <= rate <= 0.5
    for _, state in run(fresh(1), normal(distance), Config(), 200):
        assert state.scale.tolist() == [1.0] and state.log_scale.tolist() == [0.0]


@pytest.mark.parametrize("rates", [normal(1.7), normal(2.0), normal(3.0), driven(1.3), driven(2.0), driven(3.0)])
def test_a_layer_outside_the_band_arrives_in_five_updates_and_rests(rates: Rates) -> None:
    told = run(fresh(1), rates, Config(), 100)
    assert not 0.06 <= told[0][0][0] <= 0.5
    assert all(0.12 <= seen[0] <= 0.5 for seen, _ in told[5:])
    last = told[-1][1]
    assert last.led.tolist() == [math.inf]
    assert len({state.scale.item() for _, state in told[8:]}) == 1  # at rest nothing moves


def test_one_whole_correction_is_enough() -> None:
    """Deadbeat: with a reaction of 1 the second rate is the set-point."""
    told = run(fresh(1), normal(2.0), Config(reaction=1.0, cooling=0.0), 2)
    assert told[1][0][0] == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize("depth", [2, 3, 5, 10, 25, 50])
@pytest.mark.parametrize("gain", [0.15, 0.5, 1.0])
def test_a_silent_chain_is_woken_in_order_and_does_not_overshoot(depth: int, gain: float) -> None:
    config = Config()
    top = config.band[1] * config.set_point
    told = run(fresh(depth), chain(*[gain] * depth), config, 20 + 8 * depth)
    assert told[0][0][-1] < functional.SILENT
    assert max(max(seen) for seen, _ in told) <= top
    assert all(config.rescue[0] * config.set_point < rate for rate in told[-1][0])
    woken = [next(i for i, (seen, _) in enumerate(told) if seen[layer] > functional.SILENT) for layer in range(depth)]
    assert woken == sorted(woken)


@pytest.mark.parametrize("rate", [0.011, 0.03, 0.055])
def test_a_layer_that_does_not_follow_is_let_be_after_one_move(rate: float) -> None:
    """Its rate stays, whatever its threshold: by weights that answer at once, or since the rest of its neurons has no input."""
    told = run(fresh(1), lambda scales: [rate], Config(rescue=(0.05, 3.0)), 400)
    scales = [state.scale.item() for _, state in told]
    assert scales[0] < 1 and set(scales[1:]) == {scales[0]}
    assert told[1][1].led.tolist() == [math.inf]


def test_a_rescue_that_is_not_followed_moves_once_and_pauses() -> None:
    config = Config()
    told = run(fresh(1), lambda scales: [0.03], config, 400)
    scales = [state.scale.item() for _, state in told]
    moves = [i for i, (a, b) in enumerate(pairwise(scales), 1) if a != b]
    assert 1 <= len(moves) <= 400 / config.pause and all(b - a >= config.pause for a, b in pairwise(moves))


def test_a_learner_that_resists_cannot_wind_a_scale_up() -> None:
    """A layer whose rate is 0.9 whatever its threshold: the scale moves for a grace, then rests, and stays within reach."""
    told = run(fresh(1), lambda scales: [0.9], Config(), 1000)
    scales = [state.scale.item() for _, state in told]
    assert max(scales) <= 4.0
    assert sum(a != b for a, b in pairwise(scales)) <= 25  # the bound, once reached, is kept


def test_without_asking_for_a_response_a_scale_is_pushed_to_the_end_of_the_grace() -> None:
    config = Config(rescue=(0.01, 5.0), response=0.0)
    told = run(fresh(1), lambda scales: [0.05], config, 1000)
    assert told[-1][1].scale.item() == told[config.grace][1].scale.item()
    assert told[-1][1].scale.item() == pytest.approx(config.reach[0])


def test_a_layer_that_follows_half_way_is_led_on() -> None:
    """Membranes with long tails answer less than normal ones, but they answer."""
    told = run(fresh(1), lambda scales: [NormalDist().cdf(-2.0 * math.sqrt(scales[0]))], Config(), 40)
    assert told[-1][0][0] == pytest.approx(0.2, abs=0.04)


def test_a_layer_at_rest_is_left_alone_between_the_edges_of_rescue_alone() -> None:
    config = Config()
    (_, state) = run(fresh(1), normal(0.84), config, config.grace)[-1]
    assert state.led.tolist() == [math.inf]
    for _, later in run(state, lambda scales: [0.06], config, 100):
        assert later.scale is not None and later.scale.tolist() == [1.0]
    moved = run(state, normal(2.5), config, 60)
    assert moved[-1][0][0] > config.band[0] * config.set_point and moved[-1][1].scale.item() < 1


def test_rescue_takes_patience_and_pauses_between() -> None:
    config = Config(patience=5, pause=30, grace=4)
    state = run(fresh(1), normal(0.84), config, 10)[-1][1]
    scales = [s.scale.item() for _, s in run(state, lambda scales: [0.03], config, 200)]
    moves = [i for i, (a, b) in enumerate(zip([1.0, *scales], scales, strict=False)) if a != b]
    assert moves[0] >= config.patience
    starts = [b for a, b in zip([-100, *moves], moves, strict=False) if b - a > 1]
    assert all(b - a >= config.pause for a, b in pairwise(starts))


def test_a_trained_network_keeps_its_own_rates() -> None:
    config = Config(trained=True)
    told = run(fresh(2), normal(1.9, -0.4), config, 100)  # rates of 0.03 and 0.66: far outside the band
    assert all(state.scale.tolist() == [1.0, 1.0] for _, state in told)
    last = told[-1][1]
    assert last.own.tolist() == pytest.approx(told[0][0], abs=1e-3)
    back = run(last, normal(4.0, -0.4), config, 100)  # a layer that falls silent is led back to its own rate
    assert back[-1][0][0] == pytest.approx(0.03, rel=0.5) and back[-1][1].scale[1].item() == 1.0


def test_a_layer_whose_rate_is_unknown_does_not_move() -> None:
    state = fresh(2)
    for _ in range(30):
        state = controller.update(state, torch.tensor([0.0, math.nan]), torch.tensor([0.0, 10.0]), Config())
    assert state.scale.tolist() == [1.0, 1.0] and state.led.tolist() == [0.0, 0.0] and not controller.at_rest(state)


def frugal(metric: Callable[[int, float], float], config: Config, epochs: int, rate: float | None = None) -> list[float]:
    """Gains of a healthy network over epochs; the metric may depend on the gain."""
    state, gains = run(fresh(1), normal(0.84), config, 30)[-1][1], []
    for epoch in range(epochs):
        value = metric(epoch, state.gain)
        state = controller.close_epoch(state, value, value, controller.energy(state), config, learning_rate=rate)
        state = run(state, normal(0.84), config, 20)[-1][1]
        gains.append(state.gain)
    return gains


def test_the_slow_loop_saves_spikes_while_validation_holds_and_not_below_its_floor() -> None:
    config = Config(frugal=True)
    gains = frugal(lambda epoch, gain: 0.8 + 0.001 * (-1) ** epoch, config, 40)
    assert gains[:2] == [1.0, 1.0] and gains[-1] > 1.3 and gains == sorted(gains)
    rate = NormalDist().cdf(-0.84 * gains[-1])
    assert config.floor * 0.6 < rate < 0.15  # one step at most beyond the floor
    assert len(set(gains[-10:])) == 1


def test_the_slow_loop_gives_back_what_it_took_when_validation_does_not_hold() -> None:
    gains = frugal(lambda epoch, gain: 0.8 - 0.5 * max(0.0, gain - 1.2) + 0.002 * (-1) ** epoch, Config(frugal=True), 40)
    assert max(gains) > 1.2
    fell = next(i for i in range(1, 40) if gains[i] < gains[i - 1])
    assert gains[fell] <= gains[fell - 1] / 1.1
    lost = frugal(lambda epoch, gain: 0.8 if epoch < 6 else 0.1, Config(frugal=True, progress_beta=0.0), 12)
    assert max(lost) > 1.2 and lost[-1] < max(lost)


def test_the_slow_loop_is_off_by_default() -> None:
    assert frugal(lambda epoch, gain: 0.8, Config(), 10) == [1.0] * 10


def test_a_rate_that_decayed_to_nothing_moves_no_threshold() -> None:
    config = Config(frugal=True)
    state = run(fresh(1), normal(0.84), config, 30)[-1][1]
    for epoch, learning_rate in enumerate([0.1, 0.1, 0.1, 0.0, 0.0]):
        state = controller.close_epoch(state, 0.8, 0.8, controller.energy(state), config, learning_rate=learning_rate)
        assert (state.gain > 1) == (epoch >= 2)
    assert state.history[2]["gain"] == state.gain


def test_the_slow_loop_stops_where_weights_make_up_for_it() -> None:
    """Energy does not fall however thresholds rise: after three rises nothing moves."""
    config = Config(frugal=True, gain_limit=10.0)
    state = run(fresh(1), lambda scales: [0.2], config, 30)[-1][1]
    for _ in range(20):
        state = controller.close_epoch(state, 0.8, 0.8, 0.2, config)
        state = run(state, lambda scales: [0.2], config, 5)[-1][1]
    rises = {record["gain"] for record in state.history}
    assert len(rises) == 4
