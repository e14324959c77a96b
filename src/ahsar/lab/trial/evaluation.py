"""What a trial measures on samples that it does not learn from."""

from typing import Any

import torch

from ahsar.lab.paradigms import Paradigm
from ahsar.lab.trial import monitor, operations


@torch.no_grad()
def evaluate(model: Any, paradigm: Paradigm, pair: Any, size: int) -> tuple[float, float, monitor.Activity]:
    """Accuracy, cross-entropy and activity in eval mode."""
    x, y = pair
    model.eval()
    size = max(size, 128)
    with monitor.watch(model.module) as activity:
        scores = torch.cat([paradigm.scores(model, x[i : i + size]).float() for i in range(0, len(y), size)])
    activity.samples = len(y)
    model.train()
    loss = torch.nn.functional.cross_entropy(scores, y).item()
    # a quotient of whole numbers, so that 350 of 1000 is 0.35 and meets a target of 0.35
    return int((scores.argmax(1) == y).sum()) / len(y), loss, activity


def count(model: Any, paradigm: Paradigm, pair: Any, size: int, samples: int) -> dict[str, Any]:
    """Synaptic operations in eval mode, on the first samples. It takes some 3 to 8 times as long as their forward itself."""
    x = pair[0][:samples]

    def forward() -> int:
        for part in x.split(size):
            paradigm.scores(model, part)
        return len(x)

    model.eval()
    counted = operations.count(model.module, forward)
    model.train()
    return counted
