"""Norse: a small network on scikit-learn's digits, in the framework's own idiom, with one line of ahsar.

python examples/norse_digits.py
"""

import norse.torch as norse
import torch
from sklearn.datasets import load_digits
from torch import nn

import ahsar

STEPS = 12


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # inputs last for the whole sequence, so synapses need no memory of their own
        parameters = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(400.0), v_th=torch.tensor(0.4))
        self.layers = norse.SequentialState(
            nn.Linear(64, 128),
            norse.LIFBoxCell(parameters),
            nn.Linear(128, 128),
            norse.LIFBoxCell(parameters),
            nn.Linear(128, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, logits = None, torch.zeros(())
        for _ in range(STEPS):
            readout, state = self.layers(x, state)
            logits = logits + readout
        return logits / STEPS


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
