"""Whether an optimizer trains the model that it was given for."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .errors import AttachError


def doubts(optimizer: Any, model: nn.Module) -> dict[str, str]:
    """A warning where the optimizer trains nothing of the model: mostly a mistake, but not where it trains a readout behind it
    or holds copies of its parameters, flattened or in another dtype. Looks at no values.

    Raises:
        AttachError: what it trains is another model that is built alike.
    """
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    parameters = list(nn.Module.parameters(model))
    own = [p for p in parameters if p.requires_grad]
    if not own or not trained or not {id(p) for p in parameters}.isdisjoint(map(id, trained)):
        return {}
    if _kinds(own) <= _kinds(trained):
        raise AttachError(
            "the optimizer holds no parameter of this model but those of another one that is built alike: was it copied, "
            "sharded or built anew after the optimizer was made? Make it from the parameters of the model that is attached"
        )
    return {
        "optimizer": "the optimizer holds no parameter of the attached model, whose thresholds will move after each of its "
        "steps. If it is another model's, give attach() the one that trains this model; if the model is trained otherwise, "
        "attach without an optimizer and call homeostat.step() after each update of the weights"
    }


def _kinds(parameters: Sequence[torch.Tensor]) -> Counter[tuple[torch.Size, torch.dtype]]:
    """How many there are of each shape and dtype."""
    return Counter((p.shape, p.dtype) for p in parameters)
