"""Lightning Fabric: attach before `setup`, and keep your loop.

python examples/fabric.py
"""

import snntorch as snn
import torch
from lightning_fabric import Fabric
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ahsar


class Net(nn.Module):
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


def main(epochs: int = 2) -> float:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    fabric.seed_everything(0, verbose=False)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    split = [torch.utils.data.Subset(data, range(*ends)) for ends in ((0, 1400), (1400, 1797))]

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    homeostat = ahsar.attach(model, optimizer)  # the one line
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    train, val = fabric.setup_dataloaders(DataLoader(split[0], 32, shuffle=True), DataLoader(split[1], 397))

    accuracy = 0.0
    for epoch in range(epochs):
        wrapped.train()
        for x, y in train:
            wrapped_optimizer.zero_grad()
            fabric.backward(nn.functional.cross_entropy(wrapped(x), y))
            wrapped_optimizer.step()
        wrapped.eval()
        with torch.no_grad():
            accuracy = sum((wrapped(x).argmax(1) == y).float().mean().item() for x, y in val) / len(val)
        homeostat.epoch(accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    return accuracy


if __name__ == "__main__":
    main()
