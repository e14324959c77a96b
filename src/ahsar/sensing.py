"""What the layers sensed since the last update, put together: in the order of the network, and over all ranks."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import checks, distributed
from .state import VECTORS
from .tally import add

if TYPE_CHECKING:
    from .homeostat import Homeostat


def meet(homeostat: "Homeostat") -> list[str]:
    """The names of the layers that ran, here or on any rank; the first update also compares the ranks."""
    for layer in homeostat.layers if not homeostat.updated else ():
        # compiled code does not say again that it runs, should a state without arrivals have been loaded
        if layer.tally is not None and not layer.fired and layer.tally.count:
            layer.arrive()
    ran = [layer.name for layer in homeostat.arrivals]
    if (homeostat.met and homeostat.updated) or not distributed.active():
        return ran
    state = {name: getattr(homeostat, name) for name in ("steps", "epochs", "gain", "updated", "held")}
    state["scales"] = homeostat.scale.tolist()
    ran = distributed.agree(ran, homeostat.names(), homeostat.config.to_dict(), state)
    homeostat.met = True
    return ran


def sort_layers(homeostat: "Homeostat", ran: list[str]) -> None:
    """Put the layers into the order in which they ran: neighbours in equation (4) are neighbours in the network."""
    names = homeostat.names()
    if not ran:
        checks.refuse_idleness()
    missing = [name for name in names if name not in ran]
    if missing and homeostat.config.unused == "error":
        checks.refuse_silence(missing)
    order = [names.index(name) for name in ran + missing]
    homeostat.layers = [homeostat.layers[i] for i in order]
    index = torch.tensor(order, device=homeostat.state.device)
    for name in VECTORS:
        setattr(homeostat, name, getattr(homeostat, name)[index])
    homeostat.warn(checks.out_of_reach(homeostat))


def collect(homeostat: "Homeostat") -> tuple[Tensor, Tensor]:
    """Sums of spikes and outputs since the last update, both [L], over all ranks; then start anew."""
    totals = [layer.spikes for layer in homeostat.layers]
    tallies = [layer.tally for layer in homeostat.layers if layer.tally is not None] if homeostat.compiled else []
    if all(total is None for total in totals) and not tallies and not distributed.active():
        checks.refuse_idleness()
    device = next((t.device for t in (*totals, *(tally.spikes for tally in tallies)) if t is not None), homeostat.state.device)
    if device != homeostat.state.device:
        _move(homeostat, device)
    zero = torch.zeros((), device=device)
    spikes = torch.stack([zero if total is None else total.to(device) for total in totals])
    counts = [layer.count for layer in homeostat.layers]
    if homeostat.counts is None or homeostat.counts[0] != counts or homeostat.counts[1].device != device:
        # copied to the device only when batch sizes change
        homeostat.counts = counts, torch.tensor(counts, dtype=torch.float32).to(device, non_blocking=True)
    seen = homeostat.counts[1]
    if tallies:
        spikes, seen = add([layer.tally for layer in homeostat.layers], spikes, seen)
        # elsewhere than on the CPU a look would make the host wait
        if device.type == "cpu" and not seen.any() and not distributed.active():
            checks.refuse_idleness()
    for layer in homeostat.layers:
        layer.forget()
    return distributed.total(spikes, seen) if distributed.active() else (spikes, seen)


def _move(homeostat: "Homeostat", device: torch.device) -> None:
    for name in VECTORS:
        setattr(homeostat, name, getattr(homeostat, name).to(device))
