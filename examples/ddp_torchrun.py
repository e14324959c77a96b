"""DistributedDataParallel on two processes: rates are summed over all ranks, so every rank has the same scales.

torchrun --standalone --nproc-per-node 2 examples/ddp_torchrun.py
"""

import os

import snntorch as snn
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import ahsar


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 128), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(128, 128), snn.Leaky(beta=0.9)
        self.readout = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor, steps: int = 8) -> torch.Tensor:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        logits = torch.zeros(())
        for _ in range(steps):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            spk, mem2 = self.lif2(self.fc2(spk), mem2)
            logits = logits + self.readout(spk)
        return logits / steps


def main(epochs: int = 2) -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)

    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    homeostat = ahsar.attach(model, optimizer)  # before the wrapper, so that layers keep their names in checkpoints
    # snnTorch keeps membranes, one per sample, as buffers: they cannot be broadcast where shards are unequal
    parallel = DistributedDataParallel(model, broadcast_buffers=False)

    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(1400).split(32):
            mine = batch[rank::world]  # shards may be unequal
            loss = nn.functional.cross_entropy(parallel(x[mine]), y[mine])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            mine = slice(1400 + rank, None, world)
            accuracy = (model(x[mine]).argmax(1) == y[mine]).float().mean().item()
        homeostat.epoch(accuracy)  # the mean over all ranks counts
        print(f"rank {rank}, epoch {epoch + 1}: accuracy {accuracy:.3f}, scales {homeostat.scales}", flush=True)
    dist.barrier()
    # All is done. A process group that goes while Python holds its lock may wait for gloo's thread for ever, or abort.
    os._exit(0)


if __name__ == "__main__":
    main()
