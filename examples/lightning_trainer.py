"""Lightning's Trainer: one callback attaches, runs both loops, logs, and keeps its state in the checkpoints.

python examples/lightning_trainer.py      or, for DistributedDataParallel on two processes, with a 2 behind it
"""

import sys

import lightning.pytorch as L
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ahsar.integrations.lightning import AhsarCallback


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 128), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(128, 128), snn.Leaky(beta=0.9)
        self.readout = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor, steps: int = 8) -> torch.Tensor:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        logits = torch.zeros((), device=x.device)
        for _ in range(steps):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            spk, mem2 = self.lif2(self.fc2(spk), mem2)
            logits = logits + self.readout(spk)
        return logits / steps

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        x, y = batch
        self.log("val_acc", (self(x).argmax(1) == y).float().mean(), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def main(epochs: int = 2, devices: int = 1) -> float:
    L.seed_everything(0, verbose=False)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=397)

    homeostasis = AhsarCallback(metric="val_acc")  # the one line
    trainer = L.Trainer(
        accelerator="cpu", devices=devices, max_epochs=epochs, callbacks=[homeostasis], logger=False, enable_checkpointing=False
    )
    trainer.fit(Net(), train, val)
    accuracy = trainer.callback_metrics["val_acc"].item()
    if homeostasis.homeostat is not None and trainer.is_global_zero:
        print(f"accuracy {accuracy:.3f}, rates {homeostasis.homeostat.rates}, scales {homeostasis.homeostat.scales}")
    return accuracy


if __name__ == "__main__":
    main(devices=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
