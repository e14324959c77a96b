"""sinabs: a small network on scikit-learn's digits, in the framework's own idiom, with one line of ahsar.

python examples/sinabs_digits.py
"""

import sinabs
import sinabs.layers as sl
import torch
from sklearn.datasets import load_digits
from torch import nn

import ahsar

STEPS = 8


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, 128),
        sl.LIF(tau_mem=10.0, norm_input=False),
        nn.Linear(128, 128),
        sl.LIF(tau_mem=10.0, norm_input=False),
        nn.Linear(128, 10),
    )


def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Readout of pixels [N, 64], shown for all steps and averaged over them."""
    sinabs.reset_states(model)
    return model(x.unsqueeze(1).expand(-1, STEPS, -1)).mean(1)


def main(epochs: int = 3) -> float:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train, val = slice(0, 1400), slice(1400, None)

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    homeostat = ahsar.attach(model, optimizer)  # the one line

    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(1400).split(32):
            loss = nn.functional.cross_entropy(logits(model, x[train][batch]), y[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (logits(model, x[val]).argmax(1) == y[val]).float().mean().item()
        homeostat.epoch(accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    homeostat.bake()  # the model now runs, saves and exports without ahsar
    return accuracy


if __name__ == "__main__":
    main()
