"""Hugging Face Accelerate: attach before `prepare`, and register the controller for checkpoints.

python examples/accelerate_loop.py
"""

import tempfile

import snntorch as snn
import torch
from accelerate import Accelerator
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


def main(folder: str, epochs: int = 2) -> float:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    data = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=16, shuffle=True)

    plain = Net()
    plain_optimizer = torch.optim.Adam(plain.parameters(), lr=2e-3)
    homeostat = ahsar.attach(plain, plain_optimizer)  # one line; an optimizer that is prepared already does as well
    model, optimizer, data = accelerator.prepare(plain, plain_optimizer, data)
    accelerator.register_for_checkpointing(homeostat)  # and one for checkpoints

    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        for inputs, targets in data:
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(inputs), targets))
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            accuracy = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
        homeostat.epoch(accuracy)
        accelerator.save_state(folder)  # load_state brings the scales back too
        print(f"epoch {epoch + 1}: accuracy {accuracy:.3f}, rates {homeostat.rates}, scales {homeostat.scales}")
    return accuracy


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
