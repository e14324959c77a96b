"""A population of two kinds of tiny nets on scikit-learn's digits."""

from pathlib import Path

TOML = """
name = "two"
title = "two kinds of small nets"
verdict = 1000
rivals = 1

[defaults.model]
width = 6
depth = 2
time_steps = {{ whole = [2, 3] }}
threshold = {{ log = [0.3, 1.0] }}
gain = {{ uniform = [0.5, 2.0] }}

[defaults.budget]
steps = 6
batch_size = 16
eval_every = 3

[defaults.target]
metric = "accuracy"
value = 0.5

[defaults.constant]
grid = [0.4]

[data.digits]
data = {{ name = "digits", train_limit = 200, val_size = 100, test_limit = 100 }}

[model.conv]
model = {conv}

[model.mlp]
share = 2
model = {mlp}

[optimizer.adam]
optimizer = {{ name = "adam", lr = {{ log = [1e-3, 1e-2] }} }}
"""


def write(folder: Path, conv: str = '{ name = "spikingjelly-conv" }', mlp: str = '{ name = "snntorch-mlp" }') -> Path:
    """The population's file."""
    path = folder / "two.toml"
    path.write_text(TOML.format(conv=conv, mlp=mlp))
    return path
