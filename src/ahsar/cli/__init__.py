"""The command line: `ahsar inspect | run | compare | report | robustness | figures | tune | bake | workloads`."""

import sys

from ahsar.errors import AhsarError

INTERRUPTED = 130  # the exit status of a shell's command that Ctrl-C ended


def main() -> None:
    """Run the command line. What ahsar raises on purpose, and a file that cannot be used, is one line on stderr and exit status
    2; so is Ctrl-C, with 130."""
    try:
        from ahsar.cli.app import app
        from ahsar.cli.options import Interrupted
    except ModuleNotFoundError as error:
        sys.exit(_fail(f"the command line needs {error.name}: pip install 'ahsar[cli]', or 'ahsar[lab]' to compare"))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted", INTERRUPTED))
    try:
        app()
    except Interrupted as error:
        sys.exit(_fail(str(error), INTERRUPTED))
    except AhsarError as error:
        sys.exit(_fail(str(error)))
    except OSError as error:
        if error.filename is None:
            raise  # of a device or a socket: no message of ours would help
        sys.exit(_fail(f"{error.filename}: {error.strerror}; give another path, or make this one writable"))
    except ModuleNotFoundError as error:
        sys.exit(
            _fail(f"{error}; the extra ahsar[lab] brings what most commands need: pip install 'ahsar[lab]', or 'ahsar[all]'")
        )


def _fail(message: str, status: int = 2) -> int:
    print("error: " * (status != INTERRUPTED) + " ".join(message.split()), file=sys.stderr)
    return status
