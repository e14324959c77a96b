"""What an arm comes to under NeuroBench's names, so that it can stand beside results of NeuroBench itself.

Definitions after NeuroBench 2.3 (Yik et al., 2025; its pages on static and workload metrics and the code behind them).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ahsar.lab.results.records import Record, known


def metrics(trials: Sequence[Record]) -> dict[str, Any]:
    """Means over an arm's finished trials; None for what no record holds, as those of earlier versions.

    Returns:
        `footprint`: bytes of parameters and buffers;
        `connection_sparsity`: share of zero weights;
        `classification_accuracy`: on test, in [0, 1]; None where the metric is another;
        `activation_sparsity`: share of neuron outputs, over layers, time steps and test samples, that are no spike;
        `synaptic_operations`: per sample: `Effective_MACs` and `Effective_ACs`, operations of two nonzero factors with and
            without an input of other values than 0 and 1, and `Dense`, both if nothing were zero. Attention's products are
            counted too, which NeuroBench, hooking layers, does not see.
    """
    rate = _mean(trials, "mean_rate")
    accurate = [trial for trial in trials if trial["metric"] == "accuracy"]
    operations = [trial.get("synops") or {} for trial in trials]
    names = {"Effective_MACs": "effective_macs", "Effective_ACs": "effective_acs", "Dense": "dense"}
    return {
        "footprint": _mean(trials, "footprint"),
        "connection_sparsity": _mean(trials, "connection_sparsity"),
        "classification_accuracy": _mean(accurate, "final_test"),
        "activation_sparsity": None if rate is None else 1 - rate,
        "synaptic_operations": {name: _mean(operations, key) for name, key in names.items()},
    }


def _mean(rows: Sequence[Record], key: str) -> float | None:
    return float(np.mean(values)) if (values := known(rows, key)) else None
