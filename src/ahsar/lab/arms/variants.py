"""The controller with one thing changed: what each part of the law is worth."""

from typing import Any

from torch import Tensor

import ahsar
from ahsar import controller
from ahsar.lab.arms.placebos import Controlled
from ahsar.state import ControllerState

# by arm: the constants that it changes
CHANGES: dict[str, dict[str, Any]] = {
    "no-band": {"band": (1.0, 1.0), "lead": (1.0, 1.0)},
    "no-rest": {"grace": 10**9, "tolerance": 0.0, "response": 0.0},
    "no-response": {"response": 0.0},
    "slow-start": {"reaction": 0.1, "cooling": 0.0},
    "diffusing": {"diffusion": 0.15},
    "one-scale": {},
    "frugal": {"frugal": True},
}


class Variant(Controlled):
    """The controller with other constants, or with one scale for all layers."""

    def __init__(self, name: str, trained: bool = False) -> None:
        super().__init__(trained, of_all_layers if name == "one-scale" else controller.scales, **CHANGES[name])


def of_all_layers(state: ControllerState, config: ahsar.Config) -> Tensor:
    """One scale for all layers, [L]: the geometric mean of the controller's."""
    return controller.scales(state, config).log().mean().exp().expand(len(state.names)).clone()
