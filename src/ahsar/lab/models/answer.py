"""The spiking layer that ends a SpikingJelly network whose answer is not linear."""

from typing import Any

from torch import Tensor, nn


class Answer(nn.Module):
    """Neurons `lif` whose membranes or spikes are the logits, of one time step or of a sequence as their step mode is.

    Membranes are those before the reset, as snnTorch returns them: what the reset took off is added again, which needs neurons
    that subtract their threshold (v_reset=None) and do not detach that (detach_reset=False), so that the gradient is the
    membrane's own. Spikes come times T: so their mean over time is the spike count, whose cross-entropy is the rate loss of
    snnTorch's `ce_count_loss`.

    Args:
        lif: the neurons; for "membrane" they are changed.
        output: "membrane" or "spikes".
        time_steps: T.
    """

    output: str
    time_steps: int

    def __init__(self, lif: nn.Module, output: str, time_steps: int) -> None:
        super().__init__()
        self.lif: Any = lif
        self.output, self.time_steps = output, time_steps
        if output == "membrane":
            self.lif.v_reset, self.lif.detach_reset, self.lif.store_v_seq = None, False, True

    def forward(self, current: Tensor) -> Tensor:
        """Logits of the same shape as the current."""
        spikes = self.lif(current)
        if self.output == "spikes":
            return self.time_steps * spikes
        membrane = self.lif.v_seq if self.lif.step_mode == "m" else self.lif.v
        return membrane + self.lif.v_threshold * spikes
