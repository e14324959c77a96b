"""What is done to every network once it is built: its weights are drawn anew, its input is amplified."""

from functools import partial
from typing import Any

from torch import nn

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)


def initialise(network: nn.Module, how: str) -> None:
    """Draw the weights of all linear and convolutional layers anew, from torch's global generator.

    Args:
        how: "kaiming" for He's normal initialisation with ReLU's gain, "orthogonal" for orthogonal matrices of gain 1, as
            users write either in a loop over `modules()`; biases keep their own. "default" does nothing.
    """
    if how == "default":
        return
    draw: Any = {"kaiming": partial(nn.init.kaiming_normal_, nonlinearity="relu"), "orthogonal": nn.init.orthogonal_}[how]
    for layer in _weighted(network):
        draw(layer.weight)


def amplify(network: nn.Module, gain: float) -> None:
    """Multiply what reaches the network's first weights, its samples, by a gain; 1 leaves the network as it is."""
    if gain != 1:
        _weighted(network)[0].register_forward_pre_hook(partial(_multiplied, gain))


def _weighted(network: nn.Module) -> list[Any]:
    """Linear and convolutional layers, in the order in which the network holds them, which begins at its input."""
    return [module for module in network.modules() if isinstance(module, _WEIGHTED)]


def _multiplied(gain: float, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0] * gain, *args[1:])
