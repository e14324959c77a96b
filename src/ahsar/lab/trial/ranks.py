"""One trial on the processes that torchrun started: each learns from its share of every batch, and all hold one model.

Gradients are averaged once per optimiser step, whoever wrote them. `DistributedDataParallel` averages what passes through
the forward of its wrapper, which stepwise paradigms call around and in which local ones, that write `.grad` by hand, take no
part; so no model is wrapped, every paradigm goes, and the price is that sending does not overlap with the backward pass.
In one process all of this does nothing.
"""

import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ahsar import distributed
from ahsar.errors import WorkloadError
from ahsar.lab.results import provenance
from ahsar.lab.results.provenance import Settings

# of lightning-fabric's; what a trial is tried with
ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def check(accelerator: str, precision: str, here: bool = True) -> None:
    """Find out before anything runs whether trials could.

    Args:
        here: whether they will run on this machine.

    Raises:
        WorkloadError: there is no such accelerator or precision, or this machine lacks it.
    """
    for option, value, known in (("accelerator", accelerator, ACCELERATORS), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise WorkloadError(f"--{option} {value!r}: choose {', '.join(known[:-1])} or {known[-1]}")
    kind = kind_of(accelerator)
    lacking = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if here and (lacking.get(kind) or (accelerator == "gpu" and kind == "cpu")):
        raise WorkloadError(
            f"--accelerator {accelerator}: PyTorch {torch.__version__} finds no such device here; take cpu, or "
            "leave the option out"
        )


def count() -> int:
    """The number of processes that torchrun started, on all machines; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if dist.is_available() and dist.is_torchelastic_launched() else 1


def first() -> bool:
    """Whether this process is the one that writes and prints."""
    return count() == 1 or os.environ["RANK"] == "0"


def refuse(command: str) -> None:
    """Raises WorkloadError under torchrun, for a command that has its own way to use several processes."""
    if count() > 1:
        raise WorkloadError(
            f"`ahsar {command}` under torchrun: only `ahsar run` shares a trial between processes; start this without torchrun"
        )


def start(accelerator: str, precision: Any, batch: int) -> Any:
    """The `Fabric` of this process; under torchrun the process group is up afterwards.

    Args:
        batch: samples of a batch, of all processes together.

    Raises:
        WorkloadError: the batch cannot be shared in equal parts, or this machine has no such device for each process.
    """
    from lightning_fabric import Fabric  # heavy
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    class Unwrapped(DDPStrategy):
        def setup_module(self, module: nn.Module) -> Any:
            return module

    world, local = count(), 1
    if batch % world:
        raise WorkloadError(
            f"a batch of {batch} samples has no equal shares for {world} processes; change their number or budget.batch_size"
        )
    options: dict[str, Any] = {}
    if world > 1:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        options = {"strategy": Unwrapped(), "num_nodes": world // local}
    try:
        fabric = Fabric(accelerator=accelerator, devices=local, precision=precision, **options)
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise WorkloadError(
            f"--accelerator {accelerator} and --precision {precision} do not go with {local} process{'es' * (local > 1)} on "
            f"this machine: {error} Change one of the three"
        ) from None
    if world > 1:
        fabric.launch()
    return fabric


def settings(accelerator: str, precision: Any, threads: int | None = None) -> Settings:
    """The settings of a trial that this process runs, or would run.

    Args:
        accelerator: of lightning-fabric, or the kind of device itself; "" if another machine decides.
        threads: None for what torch has now.
    """
    kind = kind_of(accelerator) if accelerator else ""
    return Settings(str(precision), kind, threads or torch.get_num_threads(), count(), provenance.source_hash())


def kind_of(accelerator: str) -> str:
    """The kind of device that an accelerator of lightning-fabric is on this machine: "cpu", "cuda" or "mps"."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if torch.cuda.is_available() else "cpu"


def share(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """This process's part of a batch `[N, ...]` and its labels `[N]`: every n-th sample."""
    if not distributed.active():
        return x, y
    mine = slice(dist.get_rank(), None, dist.get_world_size())
    return x[mine].contiguous(), y[mine].contiguous()


def average_gradients(optimizer: Any) -> None:
    """Let every step of Fabric's `optimizer` begin with the mean of all processes' gradients.

    It stands before Fabric's own step, where gradients are still scaled in 16-mixed precision: so what overflows in one
    process is skipped by all.
    """
    if not distributed.active():
        return
    step = optimizer.step
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def step_together(*args: Any, **kwargs: Any) -> Any:
        _average([parameter.grad for parameter in parameters if parameter.grad is not None])
        return step(*args, **kwargs)

    optimizer.step = step_together


def average_statistics(model: nn.Module) -> None:
    """Give all processes the mean of their batch-norm statistics, which each took from its own shares."""
    if distributed.active():
        _average([b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))])


def average_loss(loss: Tensor) -> float:
    """The mean of a scalar over all processes."""
    loss = loss.clone()
    if distributed.active():
        _average([loss])
    return loss.item()


def first_word(said: str | None) -> str | None:
    """What the first process that has something to say says, in all of them: so they end together."""
    if not distributed.active():
        return said
    words: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(words, said)
    return next((word for word in words if word is not None), None)


def check_agreement(loss: float) -> None:
    """Compare the validation losses, which all processes computed on the same samples.

    Raises, in all of them:
        WorkloadError: they no longer hold one model.
    """
    if not distributed.active():
        return
    losses: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(losses, loss)
    if max(losses) - min(losses) > 1e-3 * (1 + abs(loss)):
        raise WorkloadError(
            f"the processes drifted apart (validation losses {', '.join(f'{loss:.4f}' for loss in losses)}): the arm or the "
            "paradigm keeps a state of its own in each; run it without torchrun"
        )


def leave() -> None:
    """End this process well, if torchrun started it with others; all is written by now."""
    if count() == 1:
        return
    dist.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    # A process group that goes while Python holds its lock may wait for gloo's thread for ever, or abort.
    os._exit(0)


@torch.no_grad()
def _average(tensors: list[Tensor]) -> None:
    """In place, over all processes, by one all-reduce."""
    if not tensors:
        return
    packed = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(packed)
    packed /= dist.get_world_size()
    for tensor, part in zip(tensors, packed.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
