"""Equations (1) to (9) against the float64 loops of tests/reference.py, and the properties that make them safe."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ahsar import functional
from tests import reference

LAYERS = st.integers(1, 200)
UNIT = st.floats(0, 1)
RATE = st.one_of(UNIT, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]))
STATE = st.floats(-50, 50)
REACH = st.floats(0, 10)
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


@check(vectors(UNIT), st.floats(0.001, 0.999), st.floats(0.01, 100))
def test_centre_on_set_point(values: tuple[list[float], ...], set_point: float, limit: float) -> None:
    got = functional.centre_on_set_point(tensor(values[0]), set_point, limit)
    same(got, reference.centre_on_set_point(values[0], set_point, limit))
    assert got.abs().max() <= limit
    over = tensor(values[0]) > set_point
    assert bool((got[over] >= 0).all()) and bool((got[~over] <= 0).all())


def test_centre_on_set_point_at_its_limits() -> None:
    got = functional.centre_on_set_point(tensor([0.0, 0.25, 0.5, 1.0]), 0.25, 2.0)
    assert got.tolist() == [-1.0, 0.0, 1.0, 2.0]


@check(vectors(UNIT, st.sampled_from([0.0, 1.0])), st.floats(0.01, 100))
def test_centre_on_network(values: tuple[list[float], ...], limit: float) -> None:
    average, known = values[0], [bool(k) for k in values[1]]
    got = functional.centre_on_network(tensor(average), torch.tensor(known), limit)
    same(got, reference.centre_on_network(average, known, limit), 1e-7)
    assert got.abs().max() <= limit
    assert bool((got[~torch.tensor(known)] == 0).all())


@check(LAYERS, st.floats(0.01, 1))
def test_equal_layers_deviate_from_no_mean(layers: int, value: float) -> None:
    got = functional.centre_on_network(tensor([value] * layers), torch.ones(layers, dtype=torch.bool), 2.0)
    assert got.abs().max() < 1e-12


# ---------------------------------------------------------------- (4)


@check(vectors(STATE))
def test_laplacian(values: tuple[list[float], ...]) -> None:
    got = functional.laplacian(tensor(values[0]))
    same(got, reference.laplacian(values[0]))
    assert abs(got.sum().item()) < 1e-9


@check(LAYERS, STATE)
def test_laplacian_of_a_constant_is_zero(layers: int, value: float) -> None:
    assert bool((functional.laplacian(tensor([value] * layers)) == 0).all())


@check(vectors(STATE, st.floats(-100, 100)), st.floats(0, 0.999), st.floats(0, 10), st.floats(0, 0.2499))
def test_react_and_diffuse(values: tuple[list[float], ...], leak: float, reaction: float, diffusion: float) -> None:
    got = functional.react_and_diffuse(tensor(values[0]), tensor(values[1]), leak, reaction, diffusion)
    same(got, reference.react_and_diffuse(values[0], values[1], leak, reaction, diffusion))


@check(vectors(STATE), st.floats(0, 0.2499))
def test_diffusion_only_shrinks_the_spread_and_keeps_the_mean(values: tuple[list[float], ...], diffusion: float) -> None:
    state = tensor(values[0])
    moved = functional.react_and_diffuse(state, torch.zeros_like(state), 0.0, 0.1, diffusion)
    assert moved.max() <= state.max() + 1e-12 and moved.min() >= state.min() - 1e-12
    assert moved.mean().item() == pytest.approx(state.mean().item(), abs=1e-9)
    variation = functional.react_and_diffuse(moved, torch.zeros_like(state), 0.0, 0.1, diffusion).diff().abs().sum()
    assert variation <= moved.diff().abs().sum() + 1e-9


# ---------------------------------------------------------------- (5)


@check(vectors(st.one_of(STATE, st.sampled_from([math.inf, -math.inf]))), REACH)
def test_bound(values: tuple[list[float], ...], reach: float) -> None:
    state = tensor(values[0])
    got = functional.bound(state, reach)
    same(got, reference.bound(values[0], reach))
    assert got.max() <= math.exp(reach) * (1 + 1e-12) and got.min() >= math.exp(-reach) * (1 - 1e-12)
    same(got.log(), (-functional.bound(-state, reach).log()).tolist(), 1e-12)
    ordered = functional.bound(state.sort().values, reach)
    assert bool((ordered.diff() >= 0).all())


@check(REACH, st.sampled_from(FLOATS))
def test_bound_of_zero_is_exactly_one(reach: float, dtype: torch.dtype) -> None:
    assert functional.bound(torch.zeros(3, dtype=dtype), reach).tolist() == [1.0, 1.0, 1.0]


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


@check(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(0, 0.99))
def test_track_is_the_weighted_mean_and_variance_of_the_whole_history(metrics: list[float], beta: float) -> None:
    mean = variance = weight = 0.0
    for i, metric in enumerate(metrics):
        mean, variance, weight = functional.track(mean, variance, weight, metric, beta)
        wanted = reference.moments(metrics[: i + 1], beta)
        assert mean == pytest.approx(wanted[0], rel=1e-7, abs=1e-7)
        assert variance == pytest.approx(wanted[1], rel=1e-7, abs=1e-7) and variance >= 0


def test_progress() -> None:
    assert functional.progress(0.9, 0.0, 0.0) == 0.0  # no past
    assert functional.progress(0.9, 0.8, 0.05) == pytest.approx(2.0)
    past = [0.1, 0.4, 0.5, 0.45]
    mean, variance = reference.moments(past, 0.7)
    assert functional.progress(0.3, mean, math.sqrt(variance)) == pytest.approx(reference.progress(0.3, past, 0.7))


@check(st.floats(-50, 50), UNIT, st.floats(0.01, 0.99))
def test_urge(progress: float, energy: float, set_point: float) -> None:
    got = functional.urge(progress, energy, set_point)
    assert got == pytest.approx(reference.urge(progress, energy, set_point)) and -1 <= got <= 1
    if progress >= 0:
        assert got <= 0
    if energy <= set_point:
        assert got >= 0


def test_urge_has_the_signs_it_promises() -> None:
    assert functional.urge(1.0, 0.25, 0.25) == 0  # progress at the set-point: nothing moves
    assert functional.urge(-1.0, 0.25, 0.25) > 0  # a falling metric asks for more activity
    assert functional.urge(1.0, 0.5, 0.25) < 0  # activity above the set-point asks for less
    assert functional.urge(-1.0, 0.1, 0.25) == functional.urge(-1.0, 0.25, 0.25)  # too little is no excess


@check(st.floats(0.1, 10), st.floats(-1, 1), UNIT, st.floats(1, 10))
def test_gain_stays_within_its_limits(gain: float, urge: float, gamma: float, limit: float) -> None:
    got = functional.adjust_gain(gain, urge, gamma, limit)
    assert got == pytest.approx(reference.adjust_gain(gain, urge, gamma, limit))
    assert 1 / limit <= got <= limit
    if 1 / limit <= gain <= limit:
        assert (got >= gain) if urge >= 0 else (got <= gain)
