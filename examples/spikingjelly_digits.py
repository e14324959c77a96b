"""SpikingJelly: a convolutional network in multi-step mode on scikit-learn's digits, in the framework's own idiom, with one
line of ahsar.

python examples/spikingjelly_digits.py
"""

import torch
from sklearn.datasets import load_digits
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

import ahsar

STEPS = 4


def build() -> nn.Module:
    net = nn.Sequential(
        layer.Conv2d(1, 16, 3, padding=1, bias=False),
        layer.BatchNorm2d(16),
        neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True),
        layer.MaxPool2d(2),
        layer.Flatten(),
        layer.Linear(16 * 4 * 4, 64),
        neuron.LIFNode(surrogate_function=surrogate.ATan(), detach_reset=True),
        layer.Linear(64, 10),
    )
    functional.set_step_mode(net, "m")
    return net


def classify(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits [N, 10] of images [N, 1, 8, 8], shown for `STEPS` steps."""
    functional.reset_net(net)
    return net(images.expand(STEPS, *images.shape)).mean(0)


def main(epochs: int = 3) -> float:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels)
    train, val = slice(0, 1400), slice(1400, None)

    net = build()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    homeostat = ahsar.attach(net, optimizer)  # the one line

    accuracy = 0.0
    for epoch in range(epochs):
        net.train()
        for batch in torch.randperm(1400).split(32):
            loss = nn.functional.cross_entropy(classify(net, x[train][batch]), y[train][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            accuracy = (classify(net, x[val]).argmax(1) == y[val]).float().mean().item()
        homeostat.epoch(accuracy)
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    homeostat.bake()  # the model now runs, saves and exports without ahsar
    return accuracy


if __name__ == "__main__":
    main()
