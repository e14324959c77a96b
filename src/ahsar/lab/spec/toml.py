"""Reading a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from ahsar.errors import WorkloadError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a file. `what` says in errors what it should have been.

    Raises:
        WorkloadError: it cannot be read, or is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkloadError(f"{path}: cannot read the {what} ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: not valid TOML ({error})") from None
