"""Accelerate needs no file of ours: attach before or after `prepare`, and register the controller for checkpointing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ahsar
from tests import models

accelerate: Any = pytest.importorskip("accelerate", exc_type=ImportError)


def data(batches: int = 6) -> DataLoader:
    parts = [models.batch(step, 8) for step in range(batches)]
    return DataLoader(TensorDataset(*(torch.cat(part) for part in zip(*parts, strict=True))), batch_size=8)


class Run:
    """A training with Accelerate; `early` attaches before `prepare`."""

    def __init__(self, early: bool, accumulate: int = 1):
        self.accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
        model = models.build("snntorch")
        optimizer = models.adam(model)
        if early:
            self.homeostat = ahsar.attach(model, optimizer)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(model, optimizer, data())
        if not early:
            self.homeostat = ahsar.attach(self.accelerator.unwrap_model(self.model), self.optimizer)
        self.accelerator.register_for_checkpointing(self.homeostat)

    def epoch(self, metric: float) -> None:
        for x, y in self.loader:
            with self.accelerator.accumulate(self.model):
                self.accelerator.backward(nn.functional.cross_entropy(self.model(x), y))
                self.optimizer.step()
                self.optimizer.zero_grad()
        self.homeostat.epoch(metric)

    def end(self) -> Any:
        return [p.tolist() for p in self.model.parameters()], str(self.homeostat.state_dict())


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("early", [True, False])
def test_it_trains_as_a_plain_loop(early: bool, accumulate: int) -> None:
    run = Run(early, accumulate)
    model = models.build("snntorch")
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer)
    for metric in (0.5, 0.25):
        run.epoch(metric)
        for index, (x, y) in enumerate(data()):
            (nn.functional.cross_entropy(model(x), y) / accumulate).backward()
            if (index + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        homeostat.epoch(metric)
    assert run.homeostat.steps == 12 // accumulate
    assert run.end() == ([p.tolist() for p in model.parameters()], str(homeostat.state_dict()))


def test_its_checkpoints_hold_the_controller(tmp_path: Path) -> None:
    straight, killed, resumed = Run(True), Run(True), Run(False)
    straight.epoch(0.5)
    killed.epoch(0.5)
    killed.accelerator.save_state(str(tmp_path))
    resumed.accelerator.load_state(str(tmp_path))
    straight.epoch(0.25)
    resumed.epoch(0.25)
    assert resumed.end() == straight.end()
