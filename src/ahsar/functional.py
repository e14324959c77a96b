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

# Below this rate a layer counts as silent.
SILENT = 0.01
# What is left of the weight of a layer's past rates once its threshold was moved.
FORGOTTEN = 1e-6
# The smallest distance of (3) that is told from none: rates of 0.48 and more look alike.
NEAREST = 0.05
# Moves of a below this are lost in the noise of a batch's rates.
TELLING = 0.15


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
    usual correction (divide by 1 − βᵏ), but it holds for layers that miss some updates as well, and for those whose past
    was forgotten since it belongs to another threshold.

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


def distance(rates: Tensor) -> Tensor:
    """ξ(r) = √2 erfinv(1 − 2r) = −Φ⁻¹(r): how far a threshold lies above the mean of normal membranes.

    Shape [L], in units of their spread; infinite for r = 0, and never below `NEAREST`, for r above 1 either, as twice a high
    set-point may be.
    """
    return (-torch.special.ndtri(rates.clamp(max=1.0))).clamp(min=NEAREST)


def centre(
    average: Tensor, set_point: Tensor, led: Tensor, band: tuple[float, float], lead: tuple[float, float], limit: float
) -> Tensor:
    """Equation (3): c = clamp(log ξ(r°) − log ξ(r̄), ±limit) outside the band, 0 inside it.

    With normal membranes whose mean lies at rest, log s + c is where the rate becomes r°: c is a deadbeat step. r° is
    lead₀ r* from below and lead₁ r* from above. A layer that is led already is led on inside the band, up to r°.

    Args:
        average: [L], smoothed rates.
        set_point: [L], r*.
        led: [L], bool: layers whose scale was moved before.
        band: edges, in set-points.
        lead: what is led to from below and from above, in set-points; within the band.
        limit: largest correction, > 0.

    Returns:
        [L]; negative where the threshold is too high.
    """
    far = distance(average).log()
    up = (distance(lead[0] * set_point).log() - far).clamp(-limit, 0.0)
    down = (distance(lead[1] * set_point).log() - far).clamp(0.0, limit)
    outside = (average < band[0] * set_point) | (average > band[1] * set_point)
    return torch.where(outside | led, up + down, torch.zeros_like(average))


def waits(silent: Tensor, free: Tensor) -> Tensor:
    """Layers that wait for the layer before them: a layer whose input is silent tells nothing, so depth is woken in order.

    Args:
        silent: [L], bool: rates below `SILENT`.
        free: [L], bool: layers whose scale may still move.

    Returns:
        [L], bool: silent layers right behind one that is silent and may still move.
    """
    return silent & free & pad((silent & free)[:-1], (1, 0))


def resists(pushed: Tensor, before: Tensor, average: Tensor, response: float) -> Tensor:
    """Layers that do not follow: log ξ(r̄) moved by less than `response` of what the last update moved a by.

    With normal membranes it moves by all of it. It does not where most neurons have no input at all, or where weights
    answer at once; pushing on would wind the scale up. Moves too small to tell by (`TELLING`) prove nothing, nor do rates
    that ξ cannot tell apart: those of silent layers and, within `NEAREST`, of half and more.

    Args:
        pushed: [L], the last move of a; 0 for none.
        before: [L], rates ahead of it.
        average: [L], rates behind it.
        response: in [0, 1); 0 takes all layers for ones that follow.

    Returns:
        [L], bool.
    """
    if not response:
        return torch.zeros_like(average, dtype=torch.bool)
    then, now = distance(before), distance(average)
    told = (pushed.abs() > TELLING) & (before > 0) & (average >= SILENT) & (torch.minimum(then, now) > NEAREST)
    return told & ((now.log() - then.log()) * pushed.sign() < response * pushed.abs())


def diffuse(correction: Tensor, open_to: Tensor, diffusion: float) -> Tensor:
    """Equation (4): c ← c + D Δc, where Δ is the Laplacian of the path graph with reflecting ends.

    Args:
        correction: [L], c of equation (3).
        open_to: [L], bool: layers that take part; nothing flows into or out of the others.
        diffusion: D in [0, 1/4), where the explicit scheme is stable and free of oscillation.
    """
    if not diffusion:
        return correction
    flow = torch.where(open_to[1:] & open_to[:-1], correction.diff(), 0.0)
    return torch.add(correction, pad(flow, (1, 1)).diff(), alpha=diffusion)


def react(log_scale: Tensor, correction: Tensor, led: Tensor, reaction: float, cooling: float) -> Tensor:
    """Equation (5), its first half: a ← a + η / (1 + κ n) c, with ever smaller steps as a layer has been led n updates.

    Args:
        log_scale: [L], a, the logarithm of the scale.
        correction: [L], c of equations (3) and (4).
        led: [L], n ≥ 0; infinite where the layer rests, which leaves a as it is.
        reaction: η ≥ 0.
        cooling: κ ≥ 0.
    """
    return log_scale + torch.where(led < math.inf, reaction / (1.0 + cooling * led) * correction, 0.0)


def bound(log_scale: Tensor, reach: tuple[float, float]) -> Tensor:
    """Equation (5), its second half: a within [log s_min, log s_max]; s = exp a is exactly 1 at a = 0. Shape [L]."""
    return log_scale.clamp(math.log(reach[0]), math.log(reach[1]))


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


def scale_exp(raw: Tensor, scale: Tensor | float) -> Tensor:
    """Equation (6) for a threshold kept as θ⁰ = exp(raw): raw + log s. s = 1 returns raw bit for bit. Shape of `raw`."""
    wide = raw.to(torch.promote_types(raw.dtype, torch.float32))
    return (wide + torch.as_tensor(scale, dtype=wide.dtype, device=raw.device).log()).to(raw.dtype)


def energy(average: Tensor, sizes: Tensor) -> Tensor:
    """Equation (7): E = Σ n r̄ / Σ n, the mean rate of the network.

    Args:
        average: [L], smoothed rates.
        sizes: [L], neurons of each layer (or any multiple of that), ≥ 0, not all 0.
    """
    return (sizes * average).sum() / sizes.sum()


def progress(metric: float, best: float, noise: float) -> float:
    """Equation (8): p = (m − best) / noise, how far a validation metric lies above the best so far, in units of its noise.

    0 while there is no noise to measure by and the metric is level. The metric must be such that higher is better.
    """
    if noise > 0:
        return (metric - best) / noise
    return 0.0 if metric == best else math.copysign(math.inf, metric - best)


def track(variance: float, weight: float, change: float, beta: float) -> tuple[float, float]:
    """Running noise of a metric for equation (8): half the mean square of its changes from epoch to epoch, which a slow trend
    hardly touches (von Neumann, 1941). The scalar twin of `smooth`.

    Args:
        variance: half the mean square so far; 0 at the start.
        weight: of all changes so far, in [0, 1); 0 at the start.
        change: the metric less the one before, finite.
        beta: smoothing per epoch, in [0, 1).
    """
    grown = beta * weight + (1.0 - beta)
    return variance + (1.0 - beta) / grown * (0.5 * change**2 - variance), grown


def adjust_gain(gain: float, holds: bool, stride: float, pace: float, limit: float) -> tuple[float, float]:
    """Equation (9): G ← clip(G exp(γ u), 1, limit): u = pace while validation holds, and −2 with γ halved where it does not.

    Thresholds are multiplied by G. A step is as large as the learning rate allows weights to follow.

    Args:
        gain: G ≥ 1.
        holds: whether thresholds may rise.
        stride: γ ≥ 0.
        pace: learning rate over the largest so far, in [0, 1].
        limit: ≥ 1.

    Returns:
        The new G and γ.
    """
    moved = gain * math.exp(stride * (pace if holds else -2.0))
    return min(max(moved, 1.0), limit), stride if holds else 0.5 * stride
