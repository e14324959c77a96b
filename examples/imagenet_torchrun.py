"""SEW-ResNet-34 on ImageNet over any number of GPUs; docs/scale.md says how to start it, and what it takes.

torchrun --standalone --nproc-per-node 2 examples/imagenet_torchrun.py [FOLDER with train/ and val/] [--resume]

Without a folder a few steps on noise of 32 pixels, to see that it runs.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model.sew_resnet import sew_resnet34
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision import datasets, transforms

import ahsar

NORMAL = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]


def data(folder: Path | None, train: bool) -> Dataset:
    if folder is None:
        return datasets.FakeData(8 if train else 4, (3, 32, 32), 1000, transforms.Compose(NORMAL))
    cut = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    whole = [transforms.Resize(256), transforms.CenterCrop(224)]
    change = transforms.Compose([*(cut if train else whole), *NORMAL])
    return datasets.ImageFolder(folder / ("train" if train else "val"), change)


def logits(model: nn.Module, images: Tensor, time_steps: int) -> Tensor:
    functional.reset_net(model)
    return model(images.expand(time_steps, *images.shape)).mean(0)


@torch.no_grad()
def top1(model: nn.Module, batches: Any, device: torch.device, time_steps: int) -> float:
    """Over the samples of all processes; the sampler repeats a few where they do not divide."""
    model.eval()
    seen = torch.zeros(2, device=device)
    for images, labels in batches:
        found = logits(model, images.to(device), time_steps).argmax(1).cpu()
        seen += torch.tensor([(found == labels).sum(), len(labels)], device=device)
    dist.all_reduce(seen)
    return (seen[0] / seen[1]).item()


def main(folder: Path | None, resume: bool, epochs: int = 320, time_steps: int = 4, batch: int = 32) -> None:
    if folder is None:
        epochs, batch = 1, 2
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.manual_seed(0)

    model = sew_resnet34(cnf="ADD", spiking_neuron=neuron.IFNode, surrogate_function=surrogate.ATan(), detach_reset=True)
    functional.set_step_mode(model, "m")
    model.to(device)
    # 0.1 belongs to a batch of 256
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * batch * world / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    homeostat = ahsar.attach(model, optimizer)
    saved, first = Path("imagenet.pt"), 0
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "homeostat": homeostat}
    if resume and saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        first = state["epoch"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    parallel = DistributedDataParallel(model, device_ids=[device] if cuda else None, gradient_as_bucket_view=True)

    samplers = [DistributedSampler(data(folder, train), world, rank, shuffle=train) for train in (True, False)]
    train, val = (
        DataLoader(sampler.dataset, batch, sampler=sampler, num_workers=8 if cuda else 0, pin_memory=cuda, drop_last=last)
        for sampler, last in zip(samplers, (True, False), strict=True)
    )
    scaler = torch.amp.GradScaler(device.type, enabled=cuda)  # pyright: ignore[reportPrivateImportUsage]
    for epoch in range(first, epochs):
        samplers[0].set_epoch(epoch)
        model.train()
        for images, labels in train:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.float16, enabled=cuda):
                loss = nn.functional.cross_entropy(logits(parallel, images, time_steps), labels)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        schedule.step()
        reached = top1(model, val, device, time_steps)
        homeostat.epoch(reached)  # every process, with the same metric
        if rank == 0:
            print(f"epoch {epoch + 1}: top-1 {reached:.4f}, scales {homeostat.scales}", flush=True)
            if folder is not None:
                state = {"epoch": epoch + 1, **{name: part.state_dict() for name, part in parts.items()}}
                torch.save(state, saved.with_suffix(".part"))
                saved.with_suffix(".part").replace(saved)  # whole or not at all
    dist.barrier()
    # All is done. A process group that goes while Python holds its lock may wait for gloo's thread for ever, or abort.
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--resume", action="store_true")
    main(**vars(parser.parse_args()))
