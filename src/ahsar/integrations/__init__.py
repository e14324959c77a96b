"""Bridges to tools that users train with: one file each, over the public API alone."""

from ahsar.homeostat import Homeostat


def readings(homeostat: Homeostat) -> dict[str, float]:
    """What every logger writes, under the same names. Copies from the device."""
    values = {f"rate/{name}": rate for name, rate in homeostat.rates.items()}
    values |= {f"scale/{name}": scale for name, scale in homeostat.scales.items()}
    return {**values, "gain": homeostat.gain}
