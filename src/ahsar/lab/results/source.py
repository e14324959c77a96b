"""Which files of ours a trial runs, found by following imports, and a hash of them."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

import ahsar

ROOT = Path(ahsar.__file__).parent
# What a trial begins with, and the folders from which it picks files by name. All files of a folder count.
_BEGINNINGS = (
    "ahsar.lab.trial", "ahsar.lab.arms", "ahsar.lab.data", "ahsar.lab.models", "ahsar.lab.paradigms", "ahsar.adapters",
)  # fmt: skip


def source_hash(root: Path = ROOT) -> str:
    """8 hex digits of the SHA-256 over all files that a trial may run, with their names; reports, studies and the command
    line are none of them.

    Args:
        root: the folder of the package `ahsar`.
    """
    digest = hashlib.sha256()
    for path in files(root):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def files(root: Path = ROOT) -> list[Path]:
    """The files that a trial may run, sorted: what imports reach from a trial and its parts, inside functions too."""
    modules = {_name(path, root): path for path in root.rglob("*.py")}
    waiting = [name for name in modules if any(f"{name}.".startswith(f"{first}.") for first in _BEGINNINGS)]
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in modules and name not in visited:
            visited.add(name)
            waiting += [name.rpartition(".")[0], *_imports(name, modules[name])]  # a package runs before its modules
    return sorted(modules[name] for name in visited)


def _name(path: Path, root: Path) -> str:
    """The module in a file: "ahsar.lab.trial" of lab/trial.py and of lab/trial/__init__.py."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("ahsar", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _imports(name: str, path: Path) -> Iterator[str]:
    """What a module imports, by full names; of `from a import b` both a and a.b, whichever is a module."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
