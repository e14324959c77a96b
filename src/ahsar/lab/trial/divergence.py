"""Whether a trial diverged: a loss, a weight or a buffer that is not finite. Such a net may look silent, and learns no more."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def divergence(model: nn.Module, losses: Sequence[Tensor], step: int) -> str | None:
    """What is not finite after `step` steps, and where it was met; None for a trial that is well.

    A surrogate gradient of inf/inf turns weights to NaN while the loss stays finite, since NaN lies above no threshold: so
    both are looked at.

    Args:
        losses: 0-d, of the last steps, `step` included. Reading them and the model costs one copy from the device.
    """
    named = list(_named(model))
    flags = torch.stack([tensor.isfinite().all() for _, tensor in named] + [loss.isfinite() for loss in losses]).tolist()
    if all(flags):
        return None
    said = []
    if False in flags[len(named) :]:
        said.append(f"the loss is not finite at step {step - len(losses) + 1 + flags[len(named) :].index(False)}")
    if False in flags[: len(named)]:
        said.append(f"{named[flags.index(False)][0]} are not finite at step {step}")
    return ", and ".join(said)


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        yield f"weights of {name}", parameter
    for name, buffer in model.named_buffers():
        yield f"values of {name}", buffer
