"""A workload that runs in a second: scikit-learn's digits, a net of few channels, few steps."""

from pathlib import Path

TOML = """
name = "{name}"
title = "a tiny workload for tests"

[data]
name = "digits"
val_size = 100
test_limit = 100

[model]
name = "snntorch-conv"
widths = {widths}
strides = {strides}
time_steps = 2

[optimizer]
name = "adam"
lr = 5e-3

[budget]
steps = {steps}
batch_size = 16
eval_every = 5

[target]
metric = "accuracy"
value = {target}

[seeds]
count = 2

[constant]
grid = [0.25, 0.35, 0.5, 0.7, 0.85, 1.2, 1.6]
"""


def write(folder: Path, *, depth: int = 2, steps: int = 20, target: float = 0.3, name: str = "tiny") -> Path:
    """A workload file with `depth` convolutions."""
    path = folder / f"{name}.toml"
    strides = [2] + [1] * (depth - 1)
    path.write_text(TOML.format(widths=[4] * depth, strides=strides, steps=steps, target=target, name=name))
    return path
