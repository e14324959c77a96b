"""The controller once more, slow and legible: float64 Python loops over (1) to (9). The oracle of ahsar.functional."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

from ahsar import Config

Vector = list[float]


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


def distance(rate: float) -> float:
    """ξ of (3): the quantile of the normal distribution, from below at least 0.05."""
    if rate <= 0:
        return math.inf
    return max(-NormalDist().inv_cdf(rate), 0.05) if rate < 1 else 0.05


def centre(rate: float, set_point: float, moved: bool, config: Config) -> float:
    """(3) of one layer."""
    if not moved and config.band[0] * set_point <= rate <= config.band[1] * set_point:
        return 0.0
    far = distance(rate)
    up, down = (math.log(distance(edge * set_point)) - math.log(far) if far < math.inf else -math.inf for edge in config.lead)
    return max(up, -config.limit) if up < 0 else min(down, config.limit) if down > 0 else 0.0


def resists(pushed: float, before: float, average: float, response: float) -> bool:
    """Of one layer: a move large enough to tell by, which log ξ followed by less than `response` of it."""
    if not response or abs(pushed) <= 0.15 or before <= 0 or average < 0.01:
        return False
    if min(distance(average), distance(before)) <= 0.05:
        return False
    return (math.log(distance(average)) - math.log(distance(before))) / pushed < response


def diffuse(correction: Vector, open_to: Sequence[bool], diffusion: float) -> Vector:
    """(4): every pair of neighbours that both take part shares its difference."""
    result = list(correction)
    for i in range(len(correction) - 1):
        if open_to[i] and open_to[i + 1]:
            flow = diffusion * (correction[i + 1] - correction[i])
            result[i], result[i + 1] = result[i] + flow, result[i + 1] - flow
    return result


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


def noise(metrics: Sequence[float], beta: float) -> float:
    """Of (8), from the whole history: the change of k epochs ago weighs βᵏ."""
    changes = [b - a for a, b in pairwise(metrics)]
    weights = [beta**age for age in reversed(range(len(changes)))]
    total = sum(weights)
    return math.sqrt(0.5 * sum(w * d * d for w, d in zip(weights, changes, strict=True)) / total) if total else 0.0


class Reference:
    """The whole controller, layer by layer: feed it the counted spikes of each layer, in forward order."""

    def __init__(self, layers: int, config: Config):
        self.config = config
        self.log_scales, self.average, self.weight = [0.0] * layers, [0.0] * layers, [0.0] * layers
        self.sizes, self.led, self.away = [0.0] * layers, [0.0] * layers, [0] * layers
        self.pushed = [0.0] * layers
        self.own: list[float | None] = [None] * layers
        self.gain, self.stride, self.futile = 1.0, 1.0, 0
        self.metrics: list[float] = []
        self.means: list[float] = []
        self.energies: list[float] = []
        self.gains: list[float] = []
        self.fastest = 0.0

    @property
    def scales(self) -> Vector:
        return [math.exp(a) * (self.gain if w > 0 else 1.0) for a, w in zip(self.log_scales, self.weight, strict=True)]

    def set_point(self, layer: int) -> float:
        own = self.own[layer]
        return (self.config.set_point if own is None else own) / self.gain**2

    def step(self, spikes: Sequence[float], counts: Sequence[float]) -> None:
        """One update, (1) to (6)."""
        config = self.config
        self.sizes = [n if n > 0 else old for n, old in zip(counts, self.sizes, strict=True)]
        rates = rate(spikes, counts)
        past = list(self.average)
        self.average, self.weight = smooth(self.average, self.weight, rates, config.beta)
        free = [n < config.grace for n in self.led]
        learns = [config.trained and own is None for own in self.own]
        silent = [r < 0.01 for r in rates]
        known = [math.isfinite(r) for r in rates]
        corrections, open_to, waits, resisting = [], [], [], []
        for i in range(len(rates)):
            waits.append(i > 0 and all(silent[j] and free[j] and not learns[j] for j in (i - 1, i)))
            may = known[i] and free[i] and not waits[i] and not learns[i]
            resisting.append(may and resists(self.pushed[i], past[i], self.average[i], config.response))
            open_to.append(may and not resisting[i])
            moved = self.log_scales[i] != 0
            corrections.append(centre(self.average[i], self.set_point(i), moved, config) if known[i] else 0.0)
        shared = diffuse(
            [c if o else 0.0 for c, o in zip(corrections, open_to, strict=True)],
            [o and not q for o, q in zip(open_to, silent, strict=True)],
            config.diffusion,
        )
        for i, c in enumerate(shared):
            before = self.log_scales[i]
            if self.led[i] < math.inf:
                low, high = (math.log(edge) for edge in config.reach)
                moved_to = before + config.reaction / (1 + config.cooling * self.led[i]) * c
                self.log_scales[i] = min(max(moved_to, low), high)
            if self.log_scales[i] != before:
                self.weight[i] *= 1e-6
            if known[i] and free[i] and not waits[i]:
                self.led[i] += 1
            arrived = open_to[i] and before != 0 and abs(corrections[i]) < config.tolerance
            if known[i]:
                self.pushed[i] = self.log_scales[i] - before
            if arrived or resisting[i] or self.led[i] >= config.grace:
                self.led[i] = math.inf
            if learns[i] and self.led[i] == math.inf:
                self.own[i] = max(self.average[i], 0.01)
            self._rescue(i, known[i])

    def _rescue(self, i: int, known: bool) -> None:
        if not known or self.led[i] < math.inf:
            return
        low, high = (edge * self.set_point(i) for edge in self.config.rescue)
        outside = not low <= self.average[i] <= high
        self.away[i] = self.away[i] + 1 if self.away[i] < 0 or outside else 0
        if self.away[i] >= self.config.patience:
            self.away[i], self.led[i] = -self.config.pause, 0.0

    def epoch(self, metric: float, learning_rate: float | None = None) -> None:
        """One epoch, (7) to (9); higher is better."""
        config, beta = self.config, self.config.progress_beta
        self.metrics.append(metric)
        mean = metric if not self.means else beta * self.means[-1] + (1 - beta) * metric
        best, spread = max(self.means, default=mean), noise(self.metrics, beta)
        holds = mean >= best - spread
        self.means.append(mean)
        self.energies.append(energy(self.average, self.sizes))
        self.fastest = max(self.fastest, learning_rate or 0.0)
        if config.frugal and len(self.metrics) > 2:
            if len(self.gains) > 1 and self.gains[-1] > self.gains[-2]:
                self.futile = 0 if self.energies[-1] < 0.98 * self.energies[-2] else self.futile + 1
            pace = 1.0 if learning_rate is None or self.fastest == 0 else learning_rate / self.fastest
            step = config.gamma * self.stride
            if not holds:
                self.gain, self.stride = max(1.0, self.gain * math.exp(-2 * step)), self.stride / 2
            elif self.energies[-1] >= config.floor and self.futile < 3:
                self.gain = min(config.gain_limit, self.gain * math.exp(step * pace))
        self.gains.append(self.gain)
