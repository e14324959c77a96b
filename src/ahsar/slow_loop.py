"""The slow loop: what happens when an epoch is closed."""

import math
from typing import TYPE_CHECKING

import torch

from . import checks, distributed, functional

if TYPE_CHECKING:
    from .homeostat import Homeostat


def close(homeostat: "Homeostat", metric: float, value: float) -> None:
    """Equations (7) to (9), and a record of the epoch in `history`.

    Args:
        metric: as the user gave it, for the record.
        value: finite, the higher the better, the same on every rank.
    """
    config, device = homeostat.config, homeostat.state.device
    energy = distributed.mean(functional.energy(homeostat.average, homeostat.sizes).item(), device)
    progress = functional.progress(value, homeostat.metric_mean, math.sqrt(homeostat.metric_variance))
    homeostat.metric_mean, homeostat.metric_variance, homeostat.metric_weight = functional.track(
        homeostat.metric_mean, homeostat.metric_variance, homeostat.metric_weight, value, config.progress_beta
    )
    if homeostat.held is None:
        urge = functional.urge(progress, energy, homeostat.set_point)
        homeostat.gain = functional.adjust_gain(homeostat.gain, urge, config.gamma, config.gain_limit)
        if config.centre == "network":
            homeostat._write()
    homeostat.epochs += 1
    homeostat.history.append(
        {
            "epoch": homeostat.epochs,
            "metric": metric,
            "energy": energy,
            "progress": progress,
            "gain": homeostat.gain,
            "rates": homeostat.rates,
            "scales": homeostat.scales,
        }
    )
    homeostat.warn({**checks.not_finite(homeostat), **checks.off_set_point(homeostat)})
    homeostat.bad_updates = torch.zeros_like(homeostat.bad_updates)
