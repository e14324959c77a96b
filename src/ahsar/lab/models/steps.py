"""What SpikingJelly's networks of the lab share: a whole sequence at once, or one `step` after another."""

from spikingjelly.activation_based import functional
from torch import Tensor, nn

from ahsar.lab.models import is_sequence, unroll
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS


class Steps(nn.Module):
    """A network whose `step` takes a frame if it is stepwise, and else a whole sequence, time first."""

    time_steps: int
    stepwise: bool

    def set_mode(self, spec: workload.Model, paradigm: str) -> None:
        """Single or multi-step, as the paradigm asks; once all layers are there."""
        self.time_steps, self.stepwise = spec.time_steps, PARADIGMS[paradigm].stepwise
        functional.set_step_mode(self, "s" if self.stepwise else "m")

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, ...]` or `[N, T, ...]`."""
        if self.stepwise:
            return unroll(self, x, self.time_steps)
        self.begin()
        return self.step(as_sequence(x))

    def begin(self) -> None:
        """Begin a sequence."""
        functional.reset_net(self)

    def cut(self) -> None:
        """Detach all membranes from the graph."""
        functional.detach_net(self)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, ...]`; not stepwise, those `[T, N, classes]` of a whole sequence."""
        raise NotImplementedError


def as_sequence(x: Tensor) -> Tensor:
    """Time-first input: sequences `[N, T, ...]` become `[T, N, ...]`, a static batch `[N, ...]` `[1, N, ...]`."""
    return x.transpose(0, 1).contiguous() if is_sequence(x.shape[1:]) else x.unsqueeze(0)
