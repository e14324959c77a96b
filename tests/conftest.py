"""Settings and fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parents[1]

# Set before torch is imported, here or in a subprocess. One thread each: pytest runs one worker per core, and results
# do not depend on the number of cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Data comes from files, never from a hub; what is decoded stays in the checkout.
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("AHSAR_CACHE", str(ROOT / ".pytest_cache" / "ahsar"))

# No deadline: the first example pays for imports. The same examples at every run, so that none fails by chance;
# `make test-full` draws new ones, and many more of tests/fuzz; what failed there is tried first at its next run.
settings.register_profile("ahsar", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "full", deadline=None, database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"), print_blob=True
)
settings.load_profile("ahsar")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets: AHSAR_SHARED_DATA, or beside the checkout; skips the test where there is none."""
    folder = Path(os.environ.get("AHSAR_SHARED_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (set AHSAR_SHARED_DATA)")
    return folder


@pytest.fixture
def own_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    """snnTorch keeps a list of all neurons of the process, whose states it resets together: those of this test alone."""
    snntorch = pytest.importorskip("snntorch")
    monkeypatch.setattr(snntorch.SpikingNeuron, "instances", [])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs a CUDA device where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """What a test leaves of PyTorch's defaults would fail all that follow in its process: it fails alone instead."""
    import torch  # here, as the thread counts above are set before it is imported

    if torch.get_default_dtype() is not torch.float32 or torch.is_autocast_enabled("cpu"):
        left = f"default dtype {torch.get_default_dtype()}, autocast on the CPU {torch.is_autocast_enabled('cpu')}"
        torch.set_default_dtype(torch.float32)
        torch.set_autocast_enabled("cpu", False)
        pytest.fail(f"{item.nodeid} left {left}")
