"""Equations (1) to (9) against the float64 loops of tests/reference.py, and the properties that make them safe."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ahsar import Config, functional
from tests import reference

LAYERS = st.integers(1, 200)
UNIT = st.floats(0, 1)
RATE = st.one_of(UNIT, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]))
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`given`, the same examples in every run."""
    return lambda test: settings(deadline=None, max_examples=40, derandomize=True, database=None)(given(*strategies)(test))


def vectors(*elements: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[list[float], ...]]:
    """One list for each kind of element, all of the same length of 1 to 200 layers."""
    return LAYERS.flatmap(lambda n: st.tuples(*(st.lists(e, min_size=n, max_size=n) for e in elements)))


def tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def same(got: Tensor, wanted: list[float], tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(got, tensor(wanted), rtol=tolerance, atol=tolerance, equal_nan=True)


# ---------------------------------------------------------------- (1) and (2)


@check(vectors(st.integers(0, 10**6).map(float), st.integers(0, 10**6).map(float)))
def test_rate(values: tuple[list[float], ...]) -> None:
    counts = values[1]
    spikes = [min(s, n) for s, n in zip(values[0], counts, strict=True)]
    got = functional.rate(tensor(spikes), tensor(counts))
    same(got, reference.rate(spikes, counts))
    assert bool((got[got.isfinite()] <= 1).all()) and bool((got[got.isfinite()] >= 0).all())


@check(vectors(UNIT, st.floats(0, 0.999), RATE), st.floats(0, 0.999))
def test_smooth(values: tuple[list[float], ...], beta: float) -> None:
    average, weight, rates = values
    got = functional.smooth(tensor(average), tensor(weight), tensor(rates), beta)
    wanted = reference.smooth(average, weight, rates, beta)
    same(got[0], wanted[0], 1e-6)  # the oracle divides by the weight, which may be tiny
    same(got[1], wanted[1])
    assert bool(torch.isfinite(got[0]).all()) and bool(((got[1] >= 0) & (got[1] <= 1)).all())


@check(vectors(UNIT, st.floats(0, 0.999), st.sampled_from([math.nan, math.inf, -math.inf])), st.floats(0, 0.999))
def test_a_layer_without_news_is_left_alone(values: tuple[list[float], ...], beta: float) -> None:
    average, weight, rates = map(tensor, values)
    got = functional.smooth(average, weight, rates, beta)
    assert torch.equal(got[0], average) and torch.equal(got[1], weight)


@check(vectors(UNIT), st.floats(0, 0.999), st.integers(1, 30), st.sampled_from([torch.float32, torch.float64]))
def test_a_constant_rate_is_its_own_average_from_the_first_step(
    values: tuple[list[float], ...], beta: float, steps: int, dtype: torch.dtype
) -> None:
    rates = torch.tensor(values[0], dtype=dtype)
    average, weight = torch.zeros_like(rates), torch.zeros_like(rates)
    for _ in range(steps):
        average, weight = functional.smooth(average, weight, rates, beta)
        torch.testing.assert_close(average, rates, rtol=1e-6, atol=0)


def test_smoothing_forgets_old_rates() -> None:
    average, weight = torch.zeros(1), torch.zeros(1)
    for value in [1.0] * 5 + [0.0] * 200:
        average, weight = functional.smooth(average, weight, torch.tensor([value]), 0.9)
    assert average.item() < 1e-6


# ---------------------------------------------------------------- (3)

SET_POINT = st.floats(0.01, 0.4)


@check(vectors(UNIT))
def test_distance(values: tuple[list[float], ...]) -> None:
    rates = tensor([*values[0], 0.0, 1.0])
    got = functional.distance(rates)
    same(got, [reference.distance(r) for r in rates.tolist()], 1e-6)
    assert bool((functional.distance(rates.sort().values).diff().nan_to_num() <= 0).all())  # more spikes, smaller distance


def test_the_rate_at_a_distance_is_that_of_the_normal_distribution() -> None:
    rates = tensor([0.001, 0.05, 0.2, 0.4])
    same(0.5 * torch.erfc(functional.distance(rates) / math.sqrt(2)), rates.tolist(), 1e-6)


@check(vectors(UNIT, SET_POINT, st.sampled_from([0.0, 1.0])), st.floats(0.01, 10))
def test_centre(values: tuple[list[float], ...], limit: float) -> None:
    config = Config(limit=limit)
    average, aim, led = tensor(values[0]), tensor(values[1]), tensor(values[2]) > 0
    got = functional.centre(average, aim, led, config.band, config.lead, limit)
    pairs = zip(*values, strict=True)
    same(got, [reference.centre(r, s, bool(m), config) for r, s, m in pairs], 1e-5)
    assert got.abs().max() <= limit
    inside = (average >= config.band[0] * aim) & (average <= config.band[1] * aim)
    assert bool((got[inside & ~led] == 0).all())
    assert bool((got[average < config.lead[0] * aim] <= 0).all()) and bool((got[average > config.lead[1] * aim] >= 0).all())


@check(st.floats(0.02, 0.4), st.floats(0.02, 0.3))
def test_a_correction_is_a_deadbeat_step_for_a_normal_layer(rate: float, aim: float) -> None:
    """Membranes normal around rest: the threshold times exp(c) makes the rate what it is led to."""
    threshold = reference.distance(rate)
    one = torch.ones(1, dtype=torch.bool)
    correction = functional.centre(tensor([rate]), tensor([aim]), one, (1.0, 1.0), (1.0, 1.0), 10.0).item()
    reached = 0.5 * math.erfc(threshold * math.exp(correction) / math.sqrt(2))
    assert reached == pytest.approx(aim, rel=1e-5)


# ---------------------------------------------------------------- (4)

FLAG = st.sampled_from([0.0, 1.0])


@check(vectors(st.floats(-10, 10), FLAG), st.floats(0, 0.2499))
def test_diffuse(values: tuple[list[float], ...], diffusion: float) -> None:
    correction, open_to = tensor(values[0]), tensor(values[1]) > 0
    got = functional.diffuse(correction, open_to, diffusion)
    same(got, reference.diffuse(values[0], open_to.tolist(), diffusion))
    assert torch.equal(got[~open_to], correction[~open_to])  # nothing flows into or out of the others
    assert got.sum().item() == pytest.approx(correction.sum().item(), abs=1e-9)
    assert got.max() <= correction.max() + 1e-12 and got.min() >= correction.min() - 1e-12


def test_equal_corrections_do_not_diffuse() -> None:
    correction, everyone = torch.full((5,), 0.3), torch.ones(5, dtype=torch.bool)
    assert torch.equal(functional.diffuse(correction, everyone, 0.2), correction)


@check(vectors(UNIT, UNIT, st.floats(-2, 2)), st.floats(0, 0.9))
def test_resists(values: tuple[list[float], ...], response: float) -> None:
    before, average, pushed = map(tensor, values)
    got = functional.resists(pushed, before, average, response).tolist()
    assert got == [reference.resists(p, b, a, response) for b, a, p in zip(*values, strict=True)]


@check(st.floats(0.3, 2.0), st.floats(0.2, 1.4))
def test_a_normal_layer_follows_and_one_that_stays_does_not(distance: float, pushed: float) -> None:
    """With normal membranes log ξ moves by as much as log s."""
    before = 0.5 * math.erfc(distance / math.sqrt(2))
    follows = 0.5 * math.erfc(distance * math.exp(-pushed) / math.sqrt(2))
    after = tensor([follows, before])
    told = functional.resists(tensor([-pushed] * 2), tensor([before] * 2), after, 0.3)
    assert told[1].item() and not told[0].item()


@check(vectors(FLAG, FLAG))
def test_a_silent_layer_waits_for_the_one_before(values: tuple[list[float], ...]) -> None:
    silent, free = (tensor(v) > 0 for v in values)
    got = functional.waits(silent, free).tolist()
    both = (silent & free).tolist()
    assert got == [i > 0 and both[i] and both[i - 1] for i in range(len(both))]


# ---------------------------------------------------------------- (5)


@check(
    vectors(st.floats(-3, 3), st.floats(-10, 10), st.sampled_from([0.0, 1.0, 7.0, math.inf])), st.floats(0, 2), st.floats(0, 10)
)
def test_react(values: tuple[list[float], ...], reaction: float, cooling: float) -> None:
    log_scale, correction, led = map(tensor, values)
    got = functional.react(log_scale, correction, led, reaction, cooling)
    wanted = [a if n == math.inf else a + reaction / (1 + cooling * n) * c for a, c, n in zip(*values, strict=True)]
    same(got, wanted)
    assert torch.equal(got[led == math.inf], log_scale[led == math.inf])  # a layer at rest does not move, bit for bit


@check(vectors(st.floats(-50, 50)), st.floats(0.01, 1), st.floats(1, 50))
def test_bound(values: tuple[list[float], ...], low: float, high: float) -> None:
    got = functional.bound(tensor(values[0]), (low, high)).exp()
    same(got, [min(max(math.exp(a), low), high) for a in values[0]])


@check(st.sampled_from(FLOATS))
def test_a_scale_that_was_never_moved_is_exactly_one(dtype: torch.dtype) -> None:
    assert functional.bound(torch.zeros(3, dtype=dtype), (0.05, 4.0)).exp().tolist() == [1.0, 1.0, 1.0]


# ---------------------------------------------------------------- (6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("one", [1.0, torch.ones(()), torch.ones((), dtype=torch.float64)])
@pytest.mark.parametrize("rest", [0.0, -65.3])
def test_scale_threshold_by_one_is_bit_exact(dtype: torch.dtype, one: Tensor | float, rest: float) -> None:
    for threshold in (torch.rand(500, dtype=torch.float64).to(dtype), torch.tensor(0.1, dtype=dtype)):
        got = functional.scale_threshold(threshold, one, rest)
        assert got.dtype == dtype and torch.equal(got, threshold)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
def test_an_integer_threshold_becomes_float(dtype: torch.dtype) -> None:
    for scale in (1.5, torch.tensor(1.5)):
        got = functional.scale_threshold(torch.tensor([1, 2], dtype=dtype), scale)
        assert got.dtype == torch.float32 and got.tolist() == [1.5, 3.0]
    assert functional.scale_threshold(torch.tensor(1, dtype=dtype), torch.tensor(1.0)).item() == 1.0


@check(st.floats(-80, 80), st.floats(0.01, 100), st.floats(-80, 80))
def test_scale_threshold(threshold: float, scale: float, rest: float) -> None:
    got = functional.scale_threshold(tensor([threshold]), scale, rest)
    same(got, [reference.scale_threshold(threshold, scale, rest)], 1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("one", [1.0, torch.ones(())])
def test_scale_logit_by_one_is_bit_exact_in_value_and_gradient(dtype: torch.dtype, one: Tensor | float) -> None:
    raw = torch.linspace(-30, 30, 601, dtype=dtype, requires_grad=True)
    weights = torch.rand(601, dtype=dtype)
    got = functional.scale_logit(raw, one)
    (got * weights).sum().backward()
    assert torch.equal(got, raw) and raw.grad is not None and torch.equal(raw.grad, weights)


@check(st.lists(st.floats(-20, 13.8), min_size=1, max_size=20), st.floats(math.exp(-10), math.exp(10)))
def test_scale_logit(raw: list[float], scale: float) -> None:
    wanted = [reference.scaled_sigmoid(x, scale) for x in raw]
    same(torch.sigmoid(functional.scale_logit(tensor(raw), scale)), wanted)
    low = functional.scale_logit(torch.tensor(raw, requires_grad=True), torch.tensor(scale))
    torch.testing.assert_close(torch.sigmoid(low), torch.tensor(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [0.25, 0.9, 1.0, 1.1, 4.0])
def test_the_gradient_of_scale_logit_is_finite_and_not_negative(dtype: torch.dtype, scale: float) -> None:
    raw = torch.linspace(-30, 30, 121, dtype=dtype, requires_grad=True)
    functional.scale_logit(raw, scale).sum().backward()
    assert raw.grad is not None and bool(torch.isfinite(raw.grad).all()) and bool((raw.grad >= 0).all())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("one", [1.0, torch.ones(())])
def test_scale_softplus_by_one_is_bit_exact_in_value_and_gradient(dtype: torch.dtype, one: Tensor | float) -> None:
    raw = torch.linspace(-200, 200, 601, dtype=dtype, requires_grad=True)
    weights = torch.rand(601, dtype=dtype)
    got = functional.scale_softplus(raw, one)
    (got * weights).sum().backward()
    assert torch.equal(got, raw) and raw.grad is not None and torch.equal(raw.grad, weights)


@check(st.lists(st.floats(-60, 200), min_size=1, max_size=20), st.floats(math.exp(-10), math.exp(10)))
def test_scale_softplus(raw: list[float], scale: float) -> None:
    wanted = [reference.scaled_softplus(x, scale) for x in raw]

    def activated(dtype: torch.dtype, scale: Tensor | float) -> Tensor:
        # not torch's softplus, which is linear above 20
        return torch.logaddexp(functional.scale_softplus(torch.tensor(raw, dtype=dtype), scale), torch.zeros((), dtype=dtype))

    torch.testing.assert_close(activated(torch.float64, scale), tensor(wanted), rtol=1e-8, atol=0.0)
    torch.testing.assert_close(activated(torch.float32, torch.tensor(scale)), torch.tensor(wanted), rtol=1e-5, atol=0.0)


@check(st.floats(-60, 200), st.floats(math.exp(-10), math.exp(10)))
def test_the_gradient_of_scale_softplus_is_that_of_its_definition(raw: float, scale: float) -> None:
    """d(s θ)/d raw = s σ(raw), for the threshold that the new raw value stands for."""
    x = tensor([raw]).requires_grad_()
    torch.logaddexp(functional.scale_softplus(x, scale), tensor([0.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(scale * torch.sigmoid(tensor([raw])).item(), rel=1e-7)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [math.exp(-10), 0.25, 0.9, 1.0, 1.1, 4.0, math.exp(10)])
def test_the_gradient_of_scale_softplus_is_finite_and_positive(dtype: torch.dtype, scale: float) -> None:
    raw = torch.linspace(-500, 500, 201, dtype=dtype, requires_grad=True)
    got = functional.scale_softplus(raw, scale)
    got.clamp(max=1e4).sum().backward()
    assert raw.grad is not None and bool(torch.isfinite(raw.grad).all()) and bool((raw.grad[got.detach() < 1e4] > 0).all())


# ---------------------------------------------------------------- (7) to (9)


@check(vectors(UNIT, st.integers(1, 10**6).map(float)))
def test_energy(values: tuple[list[float], ...]) -> None:
    got = functional.energy(tensor(values[0]), tensor(values[1])).item()
    assert got == pytest.approx(reference.energy(*values), rel=1e-9)
    assert min(values[0]) - 1e-9 <= got <= max(values[0]) + 1e-9


@check(st.lists(st.floats(-100, 100), min_size=2, max_size=60), st.floats(0, 0.99))
def test_track_is_the_noise_of_the_whole_history(metrics: list[float], beta: float) -> None:
    variance = weight = 0.0
    for i, (before, now) in enumerate(pairwise(metrics), 2):
        variance, weight = functional.track(variance, weight, now - before, beta)
        assert math.sqrt(variance) == pytest.approx(reference.noise(metrics[:i], beta), rel=1e-6, abs=1e-6)


def test_a_slow_trend_is_no_noise() -> None:
    variance = weight = 0.0
    for _ in range(50):
        variance, weight = functional.track(variance, weight, 0.002, 0.5)
    assert math.sqrt(variance) < 0.002  # while the metric itself rose by 0.1


def test_progress() -> None:
    assert functional.progress(0.9, 0.8, 0.05) == pytest.approx(2.0)
    assert functional.progress(0.8, 0.8, 0.0) == 0.0  # nothing changed, nothing to measure by
    assert functional.progress(0.7, 0.8, 0.0) == -math.inf


@check(st.floats(1, 10), st.booleans(), UNIT, UNIT, st.floats(1, 10))
def test_gain_stays_within_its_limits(gain: float, holds: bool, stride: float, pace: float, limit: float) -> None:
    got, left = functional.adjust_gain(gain, holds, stride, pace, limit)
    assert 1 <= got <= limit and left == (stride if holds else stride / 2)
    if gain <= limit:
        assert got >= gain if holds else got <= gain
        wanted = gain * math.exp(stride * pace) if holds else gain * math.exp(-2 * stride)
        assert got == pytest.approx(min(max(wanted, 1.0), limit))
