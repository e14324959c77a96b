"""tracetorch: a small network on scikit-learn's digits, in the framework's own idiom, with one line of ahsar.

python examples/tracetorch_digits.py
"""
# pyright: reportMissingImports=false

from typing import Any

import torch
import tracetorch as tt
from sklearn.datasets import load_digits
from torch import nn
from tracetorch import snn

import ahsar


class Net(tt.Model):
    def __init__(self) -> None:
        super().__init__()
        spikes: Any = tt.functional.round_ste()  # 0 or 1 instead of graded
        self.layers = nn.Sequential(
            nn.Linear(64, 128),
            snn.LIB(128, quant_fn=spikes),
            nn.Linear(128, 128),
            snn.LIB(128, quant_fn=spikes),
            nn.Linear(128, 10),
            snn.LI(10),
        )

    def forward(self, x: torch.Tensor, steps: int = 8) -> torch.Tensor:
        self.zero_states()
        return torch.stack([self.layers(x) for _ in range(steps)]).mean(0)


def main(epochs: int = 3) -> float:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train, val = slice(0, 1400), slice(1400, None)

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    homeostat = ahsar.attach(model, optimizer)  # the one line

    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(1400).split(32):
            loss = nn.functional.cross_entropy(model(x[train][batch]), y[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(x[val]).argmax(1) == y[val]).float().mean().item()
        homeostat.epoch(accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    homeostat.bake()  # the model now runs, saves and exports without ahsar
    return accuracy


if __name__ == "__main__":
    main()
