"""Every constant of the controller, in one frozen object."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from .errors import ConfigError, StateError

Unused = Literal["hold", "error"]
VERSION = 2

# field: (lowest, highest, lowest is allowed, highest is allowed)
_RANGES = {
    "set_point": (0.0, 1.0, False, False),
    "beta": (0.0, 1.0, True, False),
    "limit": (0.0, 10.0, False, True),
    "diffusion": (0.0, 0.25, True, False),
    "reaction": (0.0, 2.0, True, True),
    "cooling": (0.0, 10.0, True, True),
    "response": (0.0, 1.0, True, False),
    "tolerance": (0.0, 1.0, True, True),
    "gamma": (0.0, 1.0, True, True),
    "gain_limit": (1.0, 10.0, True, True),
    "floor": (0.0, 1.0, True, False),
    "progress_beta": (0.0, 1.0, True, False),
}
# pairs (low, high): what each edge must lie in, both open
_PAIRS = {"band": (0.0, 100.0), "lead": (0.0, 100.0), "rescue": (0.0, 100.0), "reach": (0.0, 100.0)}
_WHOLE = {"grace": 0, "patience": 1, "pause": 0, "interval": 1, "resting_interval": 1}
_SWITCHES = ("trained", "frugal")


@dataclass(frozen=True)
class Config:
    """Constants of equations (1) to (9) in `ahsar.functional`. One default serves every workload.

    A layer is *led* to its set-point while it is new or was rescued, and *rests* as soon as it arrived, or after `grace`
    updates: a threshold that keeps moving disturbs the weights that learn against it.

    Attributes:
        set_point: r*, the rate that layers below the band are led to, in spikes per neuron and time step, in (0, 1).
        band: rates that are left alone while a layer is led, in set-points: 0.06 to 0.5 by default.
        lead: what a layer is led to from below and from above, in set-points, within the band: 0.2 and 0.4 by default.
        rescue: a resting layer is led again when its smoothed rate stays outside these edges, which hold the band; in
            set-points: 0.05 and 0.6 by default.
        beta: β of (2), smoothing of the rates per update, in [0, 1).
        limit: the largest correction of (3), of log s, in (0, 10].
        diffusion: D of (4), in [0, 0.25): how much of their corrections neighbouring layers share. 0: no form of it has
            earned its place yet.
        reaction: η of (5), in [0, 2]: the part of a correction that is made at once.
        cooling: κ of (5), in [0, 10]: how fast steps get smaller, per update.
        response: a layer that is led rests, too, once log ξ follows less than this part of a move of log s, in [0, 1);
            0 never asks.
        reach: s_min and s_max of (5), the smallest and largest scale.
        grace: updates for which a layer may be led at most, ≥ 0. Giving up is what keeps scales from winding up.
        tolerance: a layer that was led rests once |c| is below it, in [0, 1].
        patience: updates in a row outside the edges of `rescue` before a resting layer is led again, ≥ 1.
        pause: updates of rest behind a rescue before the next, ≥ 0.
        trained: the network was trained before (converted, or fine-tuned): nothing is led at first, and each layer's own
            rate, averaged over the first `grace` updates, is its set-point (0.01 at least).
        frugal: let the slow loop raise all thresholds while validation holds.
        gamma: γ of (9), in [0, 1]: the first step of the gain, of log G per epoch.
        gain_limit: the gain stays within [1, gain_limit], in [1, 10].
        floor: the gain does not rise while the mean rate (7) is below, in [0, 1).
        progress_beta: smoothing of the metric and its noise in (8), per epoch, in [0, 1).
        interval: sense and update in every k-th step only, ≥ 1; nothing is sensed in between.
        resting_interval: the same once all layers rest, ≥ 1; the larger of the two counts.
        unused: what to do with a layer that has not run by the first update: "hold" warns, and leaves it at its own threshold
            until it runs; "error" refuses it.

    Examples:
        >>> ahsar.Config(set_point=0.1, unused="error").set_point
        0.1
    """

    set_point: float = 0.2
    band: tuple[float, float] = (0.3, 2.5)
    lead: tuple[float, float] = (1.0, 2.0)
    rescue: tuple[float, float] = (0.25, 3.0)
    beta: float = 0.9
    limit: float = 1.4
    diffusion: float = 0.0
    reaction: float = 0.7
    cooling: float = 0.05
    response: float = 0.3
    reach: tuple[float, float] = (0.05, 4.0)
    grace: int = 20
    tolerance: float = 0.12
    patience: int = 5
    pause: int = 50
    trained: bool = False
    frugal: bool = False
    gamma: float = 0.12
    gain_limit: float = 2.0
    floor: float = 0.08
    progress_beta: float = 0.7
    interval: int = 1
    resting_interval: int = 10
    unused: Unused = "hold"

    def __post_init__(self) -> None:
        for name, (low, high, with_low, with_high) in _RANGES.items():
            value = getattr(self, name)
            inside = _number(value) and low <= value <= high and (with_low or value > low) and (with_high or value < high)
            if not inside:
                span = f"{'[' if with_low else '('}{low:g}, {high:g}{']' if with_high else ')'}"
                raise ConfigError(f"Config.{name} = {value!r}: must be a number in {span}")
        for name, (low, high) in _PAIRS.items():
            pair = tuple(getattr(self, name)) if isinstance(getattr(self, name), (tuple, list)) else ()
            if len(pair) != 2 or not all(map(_number, pair)) or not low < pair[0] <= pair[1] < high:
                raise ConfigError(
                    f"Config.{name} = {getattr(self, name)!r}: must be two numbers in ({low:g}, {high:g}), the lower first"
                )
            object.__setattr__(self, name, pair)  # a list, as JSON gives it, becomes what it was
        for name, low in _WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ConfigError(f"Config.{name} = {value!r}: must be a whole number ≥ {low}")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"Config.{name} = {getattr(self, name)!r}: must be True or False")
        if self.unused not in get_args(Unused):
            choices = ", ".join(map(repr, get_args(Unused)))
            raise ConfigError(f"Config.unused = {self.unused!r}: must be one of {choices}")
        self._check_order()

    def _check_order(self) -> None:
        """Edges that contradict each other."""
        for inner, outer in (("lead", "band"), ("band", "rescue")):
            (a, b), (low, high) = getattr(self, inner), getattr(self, outer)
            if not low <= a <= b <= high:
                raise ConfigError(f"Config.{inner} = {(a, b)!r}: must lie within Config.{outer} = {(low, high)!r}")
        if not self.reach[0] <= 1 <= self.reach[1]:
            raise ConfigError(f"Config.reach = {self.reach!r}: must hold 1, where layers start")
        if self.lead[0] * self.set_point >= 1:
            raise ConfigError(f"Config.lead = {self.lead!r}: {self.lead[0]:g} set-points of {self.set_point:g} are no rate")

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, with the version of this layout; the inverse of `from_dict`."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"version": VERSION, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Rebuild a Config; raises `StateError` on another version or an unknown field, `ConfigError` on a bad value."""
        if not isinstance(values, dict):
            raise StateError(f"Config.from_dict() needs what to_dict() gave, not a {type(values).__name__}")
        rest = dict(values)
        version = rest.pop("version", None)
        if not isinstance(version, int) or version != VERSION:  # a tensor of several numbers equals nothing
            raise StateError(
                f"Config version {version!r} cannot be read: this ahsar reads version {VERSION}. Version 1 is that of ahsar "
                "0.1, whose law had other constants: train on with that release, or attach anew"
            )
        unknown = sorted(map(str, set(rest) - {field.name for field in fields(cls)}))
        if unknown:
            raise StateError(f"Config has no field {', '.join(map(repr, unknown))}")
        return cls(**rest)


def given(config: Any, call: str) -> Config:
    """What a user gave as `config=`, the default for None; raises `ConfigError` if it is none, a dictionary for example."""
    if config is not None and not isinstance(config, Config):
        fields_of = " Config(**config) takes the fields of a dictionary" * isinstance(config, dict)
        raise ConfigError(f"{call}: config is a {type(config).__name__}, not an ahsar.Config.{fields_of}")
    return config or Config()


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
