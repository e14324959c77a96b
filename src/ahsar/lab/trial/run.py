"""One trial: one arm, one seed, one workload, trained to the end of its budget and scored once on test."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ahsar.lab import arms, models, paradigms
from ahsar.lab.data import Splits, augment
from ahsar.lab.results.schema import Record, header, name_of
from ahsar.lab.spec.workload import Workload
from ahsar.lab.trial import evaluation, operations, outputs, ranks, schedule
from ahsar.lab.trial.batches import batches
from ahsar.lab.trial.divergence import divergence


def run_trial(
    workload: Workload,
    splits: Splits,
    arm: str,
    seed: int,
    *,
    report: Callable[[Record], None] = lambda point: None,
    accelerator: str = "auto",
    precision: Any = "32-true",
    tensorboard: Path | None = None,
    keep: Path | None = None,
) -> Record:
    """Train and score; deterministic for a seed on one machine. Initialisation, data order and evaluation steps depend on
    the seed alone, so arms are paired. Under torchrun every process calls it alike, and the trial is that of one process up
    to rounding, but for what batch norm and some arms take from a batch as a whole: each process has its share of it.

    Args:
        report: called with every point of the curve as it comes, in the first process.
        accelerator, precision: of lightning-fabric.
        tensorboard: a folder to log rates, scales and gain to.
        keep: a file for the trained model and its controller's state, which `ahsar bake` reads.

    Returns:
        The record of `schema.header`, filled; status "done". A trial in which a loss, a weight or a buffer is not finite
        ends at that evaluation: status "diverged", `error` says what and when, the curve ends before, and what is measured
        at the end, steps to the target included, stays None.
    """
    started = time.perf_counter()
    fabric = ranks.start(accelerator, precision, min(workload.budget.batch_size, len(splits.train[1])))
    _seed_everything(seed)
    train, val, test = ((x.to(fabric.device), y.to(fabric.device)) for x, y in (splits.train, splits.val, splits.test))
    paradigm, treatment = paradigms.build(workload), arms.build(arm)
    model = models.build(workload, splits.sample_shape, splits.classes).to(fabric.device)
    model = treatment.prepare(paradigm.prepare(model, train, seed), train[0][: workload.budget.batch_size])
    optimizer = _optimizer(workload, paradigm.parameters(model))
    homeostat = treatment.attach(model, optimizer)
    set_rates = schedule.follow(optimizer, workload.optimizer.schedule, workload.budget.steps)
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    if hasattr(model, "step"):
        _step_in_precision(model, fabric)
    ranks.average_gradients(wrapped_optimizer)
    log = outputs.logger(tensorboard if ranks.first() else None, name_of(arm, seed))
    change = augment.build(workload.data, seed, splits.normalised)

    record = header(workload, arm, seed, ranks.settings(fabric.device.type, precision))
    record["config"] = None if homeostat is None else homeostat.config.to_dict()
    record["device"] = torch.cuda.get_device_name() if fabric.device.type == "cuda" else str(fabric.device)
    record["data"] = {"source": splits.source, "fingerprint": splits.fingerprint}
    seconds, losses, passes, closed = 0.0, [], 0, 0

    def evaluate(step: int) -> None:
        nonlocal closed
        ranks.average_statistics(model)
        correct, loss, activity = evaluation.evaluate(wrapped, paradigm, val, workload.budget.batch_size)
        ranks.check_agreement(loss)
        if homeostat is not None and passes > closed:
            homeostat.epoch(correct)
            closed = passes
        layers = list(activity.rates)
        point = {
            "step": step,
            "epoch": passes,
            "train_loss": ranks.average_loss(torch.stack(losses).mean()) if losses else None,
            "val_metric": correct,
            "val_loss": loss,
            "rates": activity.rates,
            "scales": dict.fromkeys(layers, 1.0) if homeostat is None else homeostat.scales,
            "gain": 1.0 if homeostat is None else homeostat.gain,
            "seconds": seconds,
            "seconds_with_evaluation": time.perf_counter() - started,
        }
        losses.clear()
        record["curve"].append(point)
        if record["steps_to_target"] is None and correct >= workload.target.value:
            record["steps_to_target"], record["seconds_to_target"] = step, seconds
        log(point, homeostat)
        if ranks.first():
            report(point)

    def backward(loss: Tensor) -> None:
        penalty = treatment.penalty()
        fabric.backward(loss if penalty is None else loss + penalty)

    evaluate(0)
    clock = _clock(fabric.device)
    begun = clock()
    for step, (x, y, completed) in enumerate(batches(train, workload.budget.batch_size, workload.budget.steps, seed), 1):
        passes = completed
        set_rates(step - 1)
        losses.append(paradigm.learn(wrapped, wrapped_optimizer, *ranks.share(change(x), y), backward))
        if step % workload.budget.eval_every == 0 or step == workload.budget.steps:
            seconds += clock() - begun
            record["error"] = ranks.first_word(divergence(model, losses, step))
            if record["error"] is not None:
                break
            evaluate(step)
            model.train()
            begun = clock()

    if record["error"] is not None:
        taken = {"seconds": seconds, "seconds_with_evaluation": time.perf_counter() - started}
        return {**record, **taken, "status": "diverged", "steps_to_target": None, "seconds_to_target": None}
    record["final_val"] = record["curve"][-1]["val_metric"]
    record["final_test"], _, activity = evaluation.evaluate(wrapped, paradigm, test, workload.budget.batch_size)
    record.update(activity.per_sample())
    record.update(evaluation.count(wrapped, paradigm, test, workload.budget.batch_size))
    record.update(operations.static(model))
    record["seconds"], record["seconds_with_evaluation"] = seconds, time.perf_counter() - started
    record["digest"] = outputs.digest(model)
    if keep is not None and ranks.first():
        outputs.keep(keep, workload, splits, model, homeostat)
    record["status"] = "done"
    return record


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _optimizer(workload: Workload, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    spec = workload.optimizer
    if spec.name == "sgd":
        return torch.optim.SGD(parameters, spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.name]
    return kind(parameters, spec.lr, weight_decay=spec.weight_decay)


def _step_in_precision(model: Any, fabric: Any) -> None:
    """Let `step` of a network compute in the trial's precision, which Fabric applies in `forward` alone."""
    step = model.step

    def cast(*args: Any) -> Any:
        with fabric.autocast():
            out = step(*args)
        return out.float() if isinstance(out, Tensor) and out.dtype in (torch.float16, torch.bfloat16) else out

    model.step = cast


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds, once everything that was asked of the device is done."""

    def read() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return read
