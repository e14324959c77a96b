"""Rockpool: a small network on scikit-learn's digits, in the framework's own idiom, with one line of ahsar.

python examples/rockpool_digits.py
"""
# pyright: reportMissingImports=false

from typing import Any

import torch
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import LIFTorch, LinearTorch
from rockpool.parameters import Constant
from sklearn.datasets import load_digits
from torch import nn

import ahsar


def main(epochs: int = 3, steps: int = 8) -> float:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train, val = slice(0, 1400), slice(1400, None)

    # time constants would be trained as well, and turn negative at this learning rate
    neuron = {"tau_mem": Constant(10e-3), "tau_syn": Constant(5e-3), "dt": 1e-3}
    model: Any = Sequential(
        LinearTorch((64, 128)),
        LIFTorch((128,), **neuron),
        LinearTorch((128, 128)),
        LIFTorch((128,), **neuron),
        LinearTorch((128, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters().astorch(), lr=2e-3)
    homeostat = ahsar.attach(model, optimizer)  # the one line

    def logits(images: torch.Tensor) -> torch.Tensor:
        model.reset_state()
        output, _, _ = model(images[:, None].expand(-1, steps, -1))
        return output.mean(1)

    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(1400).split(32):
            loss = nn.functional.cross_entropy(logits(x[train][batch]), y[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (logits(x[val]).argmax(1) == y[val]).float().mean().item()
        homeostat.epoch(accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    homeostat.bake()  # the model now runs, saves and exports without ahsar
    return accuracy


if __name__ == "__main__":
    main()
