"""BrainCog: a small network on scikit-learn's digits, in the framework's own idiom, with one line of ahsar.

python examples/braincog_digits.py
"""
# pyright: reportMissingImports=false

import torch
from braincog.base.node.node import LIFNode
from sklearn.datasets import load_digits
from torch import nn

import ahsar


class Net(nn.Module):
    def __init__(self, steps: int = 8) -> None:
        super().__init__()
        self.steps = steps
        self.fc1, self.node1 = nn.Linear(64, 128), LIFNode(threshold=0.5, tau=2.0)
        self.fc2, self.node2 = nn.Linear(128, 128), LIFNode(threshold=0.5, tau=2.0)
        self.readout = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.node1.n_reset()
        self.node2.n_reset()
        outputs = [self.readout(self.node2(self.fc2(self.node1(self.fc1(x))))) for _ in range(self.steps)]
        return torch.stack(outputs).mean(0)


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
