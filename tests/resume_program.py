"""A training that can be killed and started again, in a plain loop, with Accelerate and with Lightning; for test_resume.py.

python -m tests.resume_program LOOP FOLDER KILL_AT ends itself with SIGKILL after KILL_AT steps.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import ahsar
from tests import models
from tests.models import MOVING

EPOCHS, BATCHES = 4, 5
CONFIG = replace(MOVING, interval=2, frugal=True, floor=0.0)
METRICS = [0.5, 0.75, 0.8, 0.25]


class Net(nn.Module):
    """Dropout and shuffled batches: nothing comes out alike unless the random generator goes on where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.dropout = models.build("snntorch"), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.dropout(x))


def loader(shuffle: bool = True) -> DataLoader:
    x, y = models.batch(0, 8 * BATCHES)
    return DataLoader(TensorDataset(x, y), batch_size=8, shuffle=shuffle)


def die_at(step: int, kill_at: int) -> None:
    if step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)


def end(model: nn.Module, homeostat: ahsar.Homeostat) -> dict[str, Any]:
    """What two runs must share, bit for bit."""
    return {
        "parameters": [p.tolist() for p in model.parameters()],
        "controller": str(homeostat.state_dict()),
        "generator": torch.get_rng_state().tolist(),
    }


def plain(folder: Path, kill_at: int = 0) -> dict[str, Any]:
    torch.manual_seed(0)
    model = Net()
    optimizer = models.adam(model)
    homeostat, first = ahsar.attach(model, optimizer, config=CONFIG), 0
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "homeostat": homeostat}
    if (folder / "last.pt").exists():
        saved = torch.load(folder / "last.pt", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        torch.set_rng_state(saved["generator"])
        first = saved["epochs"]
    for epoch in range(first, EPOCHS):
        for x, y in loader():
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            optimizer.zero_grad()
            die_at(homeostat.steps, kill_at)
        homeostat.epoch(METRICS[epoch])
        saved = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**saved, "generator": torch.get_rng_state(), "epochs": epoch + 1}, folder / "new.pt")
        os.replace(folder / "new.pt", folder / "last.pt")
    return end(model, homeostat)


def accelerate(folder: Path, kill_at: int = 0) -> dict[str, Any]:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    model = Net()
    optimizer = models.adam(model)
    homeostat = ahsar.attach(model, optimizer, config=CONFIG)
    wrapped, wrapped_optimizer, data = accelerator.prepare(model, optimizer, loader())
    accelerator.register_for_checkpointing(homeostat)
    saved = sorted(folder.glob("epoch-?"))
    if saved:
        accelerator.load_state(str(saved[-1]))
    for epoch in range(homeostat.epochs, EPOCHS):
        for x, y in data:
            accelerator.backward(nn.functional.cross_entropy(wrapped(x), y))
            wrapped_optimizer.step()
            wrapped_optimizer.zero_grad()
            die_at(homeostat.steps, kill_at)
        homeostat.epoch(METRICS[epoch])
        accelerator.save_state(str(folder / f"epoch-{epoch + 1}"))
    return end(model, homeostat)


def lightning(folder: Path, kill_at: int = 0) -> dict[str, Any]:
    import lightning.pytorch as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    from ahsar.integrations.lightning import AhsarCallback

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Net()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_acc", METRICS[self.current_epoch])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return models.adam(self)

    class Generator(L.Callback):
        """Lightning's checkpoints leave the random generator out: this one keeps it."""

        def __init__(self) -> None:
            self.saved: Tensor | None = None

        def state_dict(self) -> dict[str, Any]:
            return {"generator": torch.get_rng_state()}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.saved = state_dict["generator"]

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            if self.saved is not None:
                torch.set_rng_state(self.saved)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            die_at(trainer.global_step, kill_at)

    torch.manual_seed(0)
    homeostasis, module = AhsarCallback(config=CONFIG), Module()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[homeostasis, Generator(), ModelCheckpoint(folder, filename="last", enable_version_counter=False)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    last = folder / "last.ckpt"
    trainer.fit(module, loader(), loader(False), ckpt_path=last if last.exists() else None, weights_only=True)
    assert homeostasis.homeostat is not None
    return end(module, homeostasis.homeostat)


LOOPS = {"plain": plain, "accelerate": accelerate, "lightning": lightning}

if __name__ == "__main__":
    LOOPS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
