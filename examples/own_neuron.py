"""Your own neuron, of no framework: name its threshold once, then attach as usual.

python examples/own_neuron.py
"""

import torch
from torch import Tensor, nn

import ahsar


class Spike(torch.autograd.Function):
    """Heaviside forward, triangle backward."""

    @staticmethod
    def forward(ctx, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v >= 0).float()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (v,) = ctx.saved_tensors
        return grad * (1 - v.abs()).clamp(min=0)


class MyLIF(nn.Module):
    """Leaky integrate-and-fire over a sequence [T, N, C]; returns spikes and the last membrane."""

    def __init__(self, decay: float = 0.5, firing_level: float = 1.0) -> None:
        super().__init__()
        self.decay, self.firing_level = decay, firing_level

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        v, spikes = torch.zeros_like(x[0]), []
        for current in x:
            v = self.decay * v + current
            spike: Tensor = Spike.apply(v - self.firing_level)  # type: ignore[assignment]
            v = v * (1 - spike)
            spikes.append(spike)
        return torch.stack(spikes), v


ahsar.register_adapter(MyLIF, threshold="firing_level", spikes=0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2 = nn.Linear(20, 64), MyLIF(), nn.Linear(64, 64), MyLIF()
        self.readout = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.lif1(self.fc1(x))
        spikes, _ = self.lif2(self.fc2(spikes))
        return self.readout(spikes).mean(0)


def main(steps: int = 150) -> dict[str, float]:
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    with ahsar.attach(model, optimizer) as homeostat:
        for step in range(steps):
            y = torch.randint(0, 2, (32,))
            x = torch.randn(5, 32, 20) + 0.5 * y[:, None]
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                print(f"step {step + 1}: loss {loss.item():.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
        return homeostat.rates


if __name__ == "__main__":
    main()
