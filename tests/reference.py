"""The controller once more, slow and legible: float64 Python loops over (1) to (9). The oracle of ahsar.functional."""

import math
from collections.abc import Sequence

from ahsar import Config

Vector = list[float]


def clamp(value: float, limit: float) -> float:
    return -limit if value < -limit else limit if value > limit else value


def rate(spikes: Sequence[float], counts: Sequence[float]) -> Vector:
    """(1); nothing seen is NaN."""
    return [s / n if n > 0 else math.nan for s, n in zip(spikes, counts, strict=True)]


def smooth(average: Vector, weight: Vector, rates: Vector, beta: float) -> tuple[Vector, Vector]:
    """(2) as the quotient of two plain moving averages: that of the rates, and that of ones."""
    averages, weights = [], []
    for a, w, r in zip(average, weight, rates, strict=True):
        if math.isfinite(r):
            numerator = beta * (a * w) + (1 - beta) * r
            w = beta * w + (1 - beta)
            a = numerator / w
        averages.append(a)
        weights.append(w)
    return averages, weights


def centre_on_set_point(average: Vector, set_point: float, limit: float) -> Vector:
    """(3), every layer against the set-point."""
    return [clamp((a - set_point) / set_point, limit) for a in average]


def centre_on_network(average: Vector, known: Sequence[bool], limit: float) -> Vector:
    """(3), every known layer against the mean of the known ones."""
    heard = [a for a, k in zip(average, known, strict=True) if k]
    mean = sum(heard) / len(heard) if heard else 0.0
    if mean <= 0:
        return [0.0] * len(average)
    return [clamp((a - mean) / mean, limit) if k else 0.0 for a, k in zip(average, known, strict=True)]


def laplacian(state: Vector) -> Vector:
    """Δ of (4): the sum of the differences to the neighbours there are."""
    result = []
    for i in range(len(state)):
        flow = 0.0
        for j in (i - 1, i + 1):
            if 0 <= j < len(state):
                flow += state[j] - state[i]
        result.append(flow)
    return result


def react_and_diffuse(state: Vector, deviation: Vector, leak: float, reaction: float, diffusion: float) -> Vector:
    """(4)."""
    flow = laplacian(state)
    return [h - leak * h + reaction * c + diffusion * f for h, c, f in zip(state, deviation, flow, strict=True)]


def bound(state: Vector, reach: float) -> Vector:
    """(5)."""
    return [math.exp(reach * math.tanh(h)) for h in state]


def scale_threshold(threshold: float, scale: float, rest: float) -> float:
    """(6)."""
    return rest + scale * (threshold - rest)


def scaled_sigmoid(raw: float, scale: float) -> float:
    """(6) for a threshold that is the sigmoid of a raw value."""
    return min(scale / (1 + math.exp(-raw)), 1 - 1e-6)


def softplus(raw: float) -> float:
    return max(raw, 0.0) + math.log1p(math.exp(-abs(raw)))


def scaled_softplus(raw: float, scale: float) -> float:
    """The threshold itself, not its raw value."""
    return scale * softplus(raw)


def energy(average: Vector, sizes: Sequence[float]) -> float:
    """(7)."""
    return sum(n * a for n, a in zip(sizes, average, strict=True)) / sum(sizes)


def moments(metrics: Sequence[float], beta: float) -> tuple[float, float]:
    """Mean and variance for (8), from the whole history: the metric of k epochs ago weighs βᵏ."""
    weights = [beta**age for age in reversed(range(len(metrics)))]
    total = sum(weights)
    if total == 0:
        return 0.0, 0.0
    mean = sum(w * m for w, m in zip(weights, metrics, strict=True)) / total
    return mean, sum(w * (m - mean) ** 2 for w, m in zip(weights, metrics, strict=True)) / total


def progress(metric: float, past: Sequence[float], beta: float) -> float:
    """(8)."""
    mean, variance = moments(past, beta)
    return (metric - mean) / math.sqrt(variance) if variance > 0 else 0.0


def urge(progress: float, energy: float, set_point: float) -> float:
    """u of (9)."""
    lost = math.tanh(-progress) if progress < 0 else 0.0
    excess = math.tanh((energy - set_point) / set_point) if energy > set_point else 0.0
    return lost - excess


def adjust_gain(gain: float, urge: float, gamma: float, limit: float) -> float:
    """(9)."""
    moved = gain * math.exp(gamma * urge)
    return limit if moved > limit else 1 / limit if moved < 1 / limit else moved


class Reference:
    """The whole controller: feed it the counted spikes of each layer, in forward order."""

    def __init__(self, layers: int, config: Config):
        self.config = config
        self.state, self.average, self.weight = [0.0] * layers, [0.0] * layers, [0.0] * layers
        self.sizes, self.scales = [0.0] * layers, [1.0] * layers
        self.gain = 1.0
        self.metrics: list[float] = []

    @property
    def set_point(self) -> float:
        return self.config.set_point * (self.gain if self.config.centre == "set-point" else 1.0)

    def step(self, spikes: Sequence[float], counts: Sequence[float]) -> None:
        """One update, (1) to (6)."""
        config = self.config
        self.sizes = [n if n > 0 else old for n, old in zip(counts, self.sizes, strict=True)]
        self.average, self.weight = smooth(self.average, self.weight, rate(spikes, counts), config.beta)
        known = [w > 0 for w in self.weight]
        if config.centre == "network":
            deviation = centre_on_network(self.average, known, config.limit)
        else:
            deviation = centre_on_set_point(self.average, self.set_point, config.limit)
        deviation = [c if k else 0.0 for c, k in zip(deviation, known, strict=True)]
        self.state = react_and_diffuse(self.state, deviation, config.leak, config.reaction, config.diffusion)
        self._scale()

    def epoch(self, metric: float) -> None:
        """One epoch, (7) to (9); higher is better."""
        ahead = progress(metric, self.metrics, self.config.progress_beta)
        self.metrics.append(metric)
        u = urge(ahead, energy(self.average, self.sizes), self.set_point)
        self.gain = adjust_gain(self.gain, u, self.config.gamma, self.config.gain_limit)
        if self.config.centre == "network":
            self._scale()

    def _scale(self) -> None:
        self.scales = [s / (self.gain if self.config.centre == "network" else 1.0) for s in self._bounded()]

    def _bounded(self) -> Vector:
        return bound(self.state, self.config.reach)
