"""Every constant of the controller, in one frozen object."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from .errors import ConfigError, StateError

Centre = Literal["set-point", "network"]
Unused = Literal["error", "hold"]
VERSION = 1

# field: (lowest, highest, lowest is allowed, highest is allowed)
_RANGES = {
    "set_point": (0.0, 1.0, False, False),
    "beta": (0.0, 1.0, True, False),
    "reaction": (0.0, 10.0, True, True),
    "leak": (0.0, 1.0, True, False),
    "diffusion": (0.0, 0.25, True, False),
    "reach": (0.0, 10.0, True, True),
    "limit": (0.0, 100.0, False, True),
    "gamma": (0.0, 1.0, True, True),
    "gain_limit": (1.0, 10.0, True, True),
    "progress_beta": (0.0, 1.0, True, False),
}


@dataclass(frozen=True)
class Config:
    """Constants of equations (1) to (9) in `ahsar.functional`. One default serves every workload; it was tuned on none.

    Attributes:
        set_point: r*, the rate that layers are led to, in spikes per neuron and time step, in (0, 1). From a prototype on
            four image networks, where 0.25 did as well as the best constant scale.
        centre: "set-point" leads every layer to `set_point`; "network" only balances layers against their mean rate.
        beta: β of (2), smoothing of the rates per update, in [0, 1).
        reaction: η of (4), in [0, 10]: how fast the state follows the deviation, per update.
        leak: λ of (4), in [0, 1): how fast scales return to 1. At 0.1 a silent deep network no longer revived.
        diffusion: D of (4), in [0, 0.25): how much neighbouring layers share.
        reach: ρ of (5), in [0, 10]: scales stay within [e^−ρ, e^ρ]. At 0.7 a silent deep network no longer revived.
        limit: c_max of (3), in (0, 100]: the largest deviation that a layer can report.
        gamma: γ of (9), in [0, 1]: speed of the gain per epoch. Small, since moving the set-point late costs accuracy.
        gain_limit: the gain stays within [1/gain_limit, gain_limit], in [1, 10].
        progress_beta: smoothing of the metric's mean and spread in (8), per epoch, in [0, 1).
        interval: sense and update in every k-th step only, ≥ 1; nothing is sensed in between.
        unused: what to do with a layer that has not run by the first update: "error" names it, "hold" keeps its scale.

    >>> ahsar.Config(set_point=0.1, unused="hold").set_point
    0.1
    """

    set_point: float = 0.25
    centre: Centre = "set-point"
    beta: float = 0.9
    reaction: float = 0.1
    leak: float = 0.02
    diffusion: float = 0.2
    reach: float = 1.4
    limit: float = 2.0
    gamma: float = 0.05
    gain_limit: float = 1.25
    progress_beta: float = 0.7
    interval: int = 1
    unused: Unused = "error"

    def __post_init__(self) -> None:
        for name, (low, high, with_low, with_high) in _RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            inside = number and low <= value <= high and (with_low or value > low) and (with_high or value < high)
            if not inside:
                span = f"{'[' if with_low else '('}{low:g}, {high:g}{']' if with_high else ')'}"
                raise ConfigError(f"Config.{name} = {value!r}: must be a number in {span}")
        for name, choices in (("centre", get_args(Centre)), ("unused", get_args(Unused))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"Config.{name} = {getattr(self, name)!r}: must be one of {', '.join(map(repr, choices))}")
        if not isinstance(self.interval, int) or isinstance(self.interval, bool) or self.interval < 1:
            raise ConfigError(f"Config.interval = {self.interval!r}: must be a whole number ≥ 1")
        if self.set_point * self.gain_limit >= 1:
            raise ConfigError(
                f"Config.gain_limit = {self.gain_limit!r}: set_point × gain_limit must stay below 1, "
                f"so at most {1 / self.set_point:g}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, with the version of this layout; the inverse of `from_dict`."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Rebuild a Config; raises `StateError` on another version or an unknown field, `ConfigError` on a bad value."""
        rest = dict(values)
        version = rest.pop("version", None)
        if version != VERSION:
            raise StateError(f"Config version {version!r} cannot be read: this ahsar reads version {VERSION}")
        unknown = sorted(set(rest) - {field.name for field in fields(cls)})
        if unknown:
            raise StateError(f"Config has no field {', '.join(map(repr, unknown))}")
        return cls(**rest)
