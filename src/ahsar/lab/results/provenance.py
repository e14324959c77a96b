"""What a result depends on besides its workload: versions, and a hash of our own source."""

import hashlib
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import ahsar

_PACKAGES = ("torch", "numpy", "lightning-fabric", "spikingjelly", "snntorch", "tonic", "datasets", "scikit-learn")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Version of Python, of every package that takes part, and of ahsar with 8 hex digits of its source's SHA-256."""
    found = {"python": platform.python_version(), "ahsar": f"{ahsar.__version__}+{source_hash()}"}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def source_hash() -> str:
    """8 hex digits over what computes a trial: the core, and the lab but for its pages and its command line."""
    root = Path(ahsar.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("lab/report/", "lab/stats.py", "lab/compare.py", "cli.py")):
            digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:8]
