"""Ways to train: each is one file with the same two functions, so that model, data and arm do not know which one runs."""

from typing import Protocol

from torch import Tensor, nn

from ahsar.lab.workload import Workload


class Paradigm(Protocol):
    """What a training method does with one batch. Models give logits per time step, [T, N, classes]."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The scalar to differentiate, for a batch x [N, ...] with labels y [N]."""
        ...

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """Scores [N, classes] of a batch, for evaluation."""
        ...


def build(workload: Workload) -> Paradigm:
    """The paradigm that the workload names."""
    from ahsar.lab.paradigms.bptt import BPTT

    return {"bptt": BPTT}[workload.paradigm.name]()
