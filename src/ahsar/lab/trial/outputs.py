"""What a trial leaves beside its record: the trained model, its digest, and a log."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ahsar.files import replacing
from ahsar.homeostat import Homeostat
from ahsar.lab.data import Splits
from ahsar.lab.spec.workload import Workload


def digest(model: nn.Module) -> str:
    """SHA-256 of all parameters and batch-norm statistics, for "bit-identical"; neuron states are left out."""
    total = hashlib.sha256()
    kept: dict[str, Tensor] = dict(model.named_parameters())
    kept.update({name: b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))})
    for name in sorted(kept):
        total.update(name.encode() + kept[name].detach().cpu().numpy().tobytes())
    return total.hexdigest()


def keep(path: Path, workload: Workload, splits: Splits, model: nn.Module, homeostat: Homeostat | None) -> None:
    """Write the file that `ahsar bake` reads."""
    about = {"workload": asdict(workload), "sample_shape": list(splits.sample_shape), "classes": splits.classes}
    state = None if homeostat is None else homeostat.state_dict()
    with replacing(path) as file:
        torch.save({"model": model.state_dict(), "homeostat": state, "about": about}, file)


def logger(folder: Path | None, name: str) -> Callable[[dict[str, Any], Homeostat | None], None]:
    """What logs a point of the curve to TensorBoard, in `folder`/`name`; nothing for None."""
    if folder is None:
        return lambda point, homeostat: None
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    logger = TensorBoardLogger(folder, name=name, version="")

    def log(point: dict[str, Any], homeostat: Homeostat | None) -> None:
        readings = {} if homeostat is None else homeostat.readings()
        logger.log_metrics({"val/metric": point["val_metric"], "val/loss": point["val_loss"], **readings}, point["step"])
        logger.save()

    return log
