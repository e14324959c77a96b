"""The equations of the controller, (1) to (9): tensors in, tensors out, no modules and no I/O.

The method is AHSAR (Chen et al., 2025, arXiv 2512.05015) as its abstract describes it: rates are sensed per layer, smoothed,
centred, diffused across neighbouring layers and mapped by a bounded nonlinearity to a scale of the threshold; a slow global
gain follows validation progress and activity energy. The form of the equations and their constants are ours.

Vectors have shape [L]: one entry for each spiking layer, in the order in which the layers run. Rates are spikes per neuron
and step of time, in [0, 1].
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus


def rate(spikes: Tensor, counts: Tensor) -> Tensor:
    """Equation (1): r = spikes / counts.

    Args:
        spikes: [L], non-zero outputs since the last update, ≥ 0.
        counts: [L], outputs seen since the last update, ≥ 0.

    Returns:
        [L], rates in [0, 1]; NaN where nothing was seen, which `smooth` takes as "no news".
    """
    return spikes / counts


def smooth(average: Tensor, weight: Tensor, rates: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Equation (2): r̄ ← β r̄ + (1 − β) r with bias correction, so that the first average is the first rate.

    The weight w of all rates seen so far follows w ← β w + 1 − β, and r̄ moves by (1 − β)/w of the way to r. This is the
    usual correction (divide by 1 − βᵏ), but it holds for layers that miss some updates as well.

    Args:
        average: [L], corrected averages; any finite value where the weight is 0.
        weight: [L], in [0, 1); 0 before the first rate.
        rates: [L]; an entry that is NaN or infinite leaves average and weight of its layer as they are.
        beta: smoothing, in [0, 1).

    Returns:
        The new average and weight, both [L].
    """
    news = rates.abs() < math.inf  # false for NaN as well
    grown = beta * weight + (1.0 - beta)
    moved = torch.lerp(average, rates, (1.0 - beta) / grown)
    return torch.where(news, moved, average), torch.where(news, grown, weight)


def centre_on_set_point(average: Tensor, set_point: float, limit: float) -> Tensor:
    """Equation (3), centre="set-point": c = clamp((r̄ − r*) / r*, ±limit). Shape [L]; r* in (0, 1)."""
    return ((average - set_point) / set_point).clamp(-limit, limit)


def centre_on_network(average: Tensor, known: Tensor, limit: float) -> Tensor:
    """Equation (3), centre="network": c = clamp((r̄ − mean r̄) / mean r̄, ±limit); 0 in a network that is silent.

    Args:
        average: [L], smoothed rates.
        known: [L], bool; the mean is over these layers, and the deviation of the others is 0.
        limit: largest deviation, > 0.
    """
    heard = torch.where(known, average, torch.zeros_like(average))
    mean = heard.sum() / known.sum().clamp(min=1)
    deviation = (heard - mean) / mean.clamp(min=torch.finfo(average.dtype).tiny)
    return torch.where(known & (mean > 0), deviation, torch.zeros_like(deviation)).clamp(-limit, limit)


def laplacian(state: Tensor) -> Tensor:
    """Δh of equation (4): the Laplacian of the path graph with reflecting ends. Shape [L]; sums to 0; 0 if L = 1."""
    return pad(state.diff(), (1, 1)).diff()


def react_and_diffuse(state: Tensor, deviation: Tensor, leak: float, reaction: float, diffusion: float) -> Tensor:
    """Equation (4): h ← (1 − λ) h + η c + D Δh.

    Args:
        state: [L], the homeostatic state h.
        deviation: [L], the centred rates c.
        leak: λ in [0, 1); pulls scales back to 1.
        reaction: η ≥ 0.
        diffusion: D in [0, 1/4), where the explicit scheme is stable and free of oscillation.
    """
    reacted = torch.add((1.0 - leak) * state, deviation, alpha=reaction)
    return torch.add(reacted, laplacian(state), alpha=diffusion) if diffusion else reacted


def bound(state: Tensor, reach: float) -> Tensor:
    """Equation (5): s = exp(ρ tanh h), in [e^−ρ, e^ρ] and exactly 1 at h = 0. Shape [L]; ρ ≥ 0."""
    return torch.exp(reach * torch.tanh(state))


def scale_threshold(threshold: Tensor, scale: Tensor | float, rest: float = 0.0) -> Tensor:
    """Equation (6): θ = rest + s (θ⁰ − rest), in the threshold's own floating dtype (integers become float32).

    Scaling the distance from rest keeps models in millivolts meaningful. s = 1 gives θ⁰ back bit for bit.

    Args:
        threshold: any shape.
        scale: scalar, > 0.
        rest: resting potential, in the threshold's unit.
    """
    dtype = threshold.dtype if threshold.is_floating_point() else torch.float32
    # around a rest other than 0 the same, written so that s = 1 leaves no rounding
    scaled = threshold * scale if rest == 0.0 else threshold + (threshold - rest) * (scale - 1.0)
    return scaled.to(dtype)


def scale_logit(raw: Tensor, scale: Tensor | float) -> Tensor:
    """Equation (6) for a threshold kept as θ⁰ = sigmoid(raw): the raw value whose sigmoid is min(s θ⁰, 1 − 1e-6).

    logit(s σ(x)) = x + log s − log(1 + (1 − s) eˣ); written so that s = 1 returns x, and its gradient, bit for bit.
    Shape of `raw`.
    """
    # half precision would overflow in exp and divide by 0 in the gradient of log1p
    wide = raw.to(torch.promote_types(raw.dtype, torch.float32))
    factor = torch.as_tensor(scale, dtype=wide.dtype, device=raw.device)
    ceiling = math.log((1 - 1e-6) / 1e-6)
    room = ((1.0 - factor) * wide.clamp(max=ceiling).exp()).clamp(min=-1.0 + 1e-6)
    shifted = wide + factor.log() - room.log1p()
    limit = wide.detach().clamp(min=ceiling)
    # not clamp, whose gradient where both are equal differs between releases of PyTorch
    return torch.where(shifted > limit, limit, shifted).to(raw.dtype)


def scale_softplus(raw: Tensor, scale: Tensor | float) -> Tensor:
    """Equation (6) for a threshold kept as θ⁰ = softplus(raw): the raw value whose softplus is s θ⁰.

    The inverse of softplus is y + log(1 − e^−y), which neither overflows nor cancels; s = 1 returns raw, and its gradient,
    bit for bit. Shape of `raw`.
    """
    wide = raw.to(torch.promote_types(raw.dtype, torch.float32))
    factor = torch.as_tensor(scale, dtype=wide.dtype, device=raw.device)
    # further below softplus is exp, so its inverse moves in step with raw
    near = wide.clamp(min=-30.0)
    scaled = factor * softplus(near)
    inverse = scaled + torch.expm1(-scaled).neg().log() + (wide - near)
    return torch.where(factor == 1.0, wide, inverse).to(raw.dtype)


def energy(average: Tensor, sizes: Tensor) -> Tensor:
    """Equation (7): E = Σ n r̄ / Σ n, the mean rate of the network.

    Args:
        average: [L], smoothed rates.
        sizes: [L], neurons of each layer (or any multiple of that), ≥ 0, not all 0.
    """
    return (sizes * average).sum() / sizes.sum()


def progress(metric: float, mean: float, spread: float) -> float:
    """Equation (8): p = (m − mean) / spread, how far a validation metric lies above its own past, in units of its spread.

    0 while there is no past or no spread. The metric must be such that higher is better.
    """
    return (metric - mean) / spread if spread > 0 else 0.0


def track(mean: float, variance: float, weight: float, metric: float, beta: float) -> tuple[float, float, float]:
    """Running mean, variance and weight of a metric for equation (8): the scalar twin of `smooth`, with spread.

    Args:
        mean, variance, weight: the state; all 0 at the start.
        metric: finite.
        beta: smoothing per epoch, in [0, 1).
    """
    grown = beta * weight + (1.0 - beta)
    step = (1.0 - beta) / grown
    moved = mean + step * (metric - mean)
    return moved, (1.0 - step) * (variance + step * (metric - mean) ** 2), grown


def urge(progress: float, energy: float, set_point: float) -> float:
    """u of equation (9), in (−1, 1): a metric that falls asks for more activity, activity above the set-point for less.

    u = max(0, tanh(−p)) − max(0, tanh((E − r*) / r*)): while training makes progress at the set-point, nothing moves.
    """
    return max(0.0, math.tanh(-progress)) - max(0.0, math.tanh((energy - set_point) / set_point))


def adjust_gain(gain: float, urge: float, gamma: float, limit: float) -> float:
    """Equation (9): G ← clip(G exp(γ u), 1/limit, limit). G > 1 asks for more activity; limit ≥ 1."""
    return min(max(gain * math.exp(gamma * urge), 1.0 / limit), limit)
