"""What the pictures of a population show, in words with their numbers: for those who do not see them."""

from typing import Any

from ahsar.lab.report.population.numbers import BASELINE, OURS
from ahsar.lab.report.population.pictures import binned
from ahsar.lab.report.text import arm_name

_PROPERTIES = {"threshold": "by threshold", "layers": "by depth", "rate_at_start": "by rate at start"}


def scatter(numbers: dict[str, Any]) -> str:
    """Of the arms against the baseline."""
    said = [f"{arm_name(arm)} {row['better']} to {row['worse']}" for arm, row in numbers["arms"].items() if arm != BASELINE]
    return f"Nets that end 2 points above the baseline, to nets 2 points below: {', '.join(said)}."


def constants(numbers: dict[str, Any]) -> str:
    """Of the constants that would have been right."""
    said = [f"{scale} in {nets}" for scale, nets in numbers["right_constants"].items()]
    return f"The best constant scale is {', '.join(said)} nets." if said else "No constant ran."


def regret(numbers: dict[str, Any]) -> str:
    """Of the regret over three properties of a net."""
    said = [
        f"{arm_name(arm)}: {'; '.join(_bins(numbers, arm, key, title) for key, title in _PROPERTIES.items())}."
        for arm in (BASELINE, numbers["best_constant"], OURS)
        if arm in numbers["arms"]
    ]
    return f"Mean regret in parts of equally many nets, from the lowest to the highest. {' '.join(said)}"


def _bins(numbers: dict[str, Any], arm: str, key: str, title: str) -> str:
    known = [(net[key], net["arms"].get(arm, {}).get("regret")) for net in numbers["nets"].values() if net[key] is not None]
    rows = sorted((place, regret) for place, regret in known if regret is not None)
    return f"{title} {', '.join(f'{mean:.3f}' for mean in binned(*zip(*rows, strict=True))[1]) if rows else 'not known'}"
