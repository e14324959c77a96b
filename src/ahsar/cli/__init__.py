"""The command line: `ahsar inspect | run | compare | report | robustness | figures | tune | bake | workloads`."""

import sys

from ahsar.errors import AhsarError


def main() -> None:
    """Run the command line; any error that ahsar raises on purpose is one line on stderr and exit status 2."""
    try:
        from ahsar.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(_fail(f"the command line needs {error.name}: pip install 'ahsar[lab]'"))
    try:
        app()
    except AhsarError as error:
        sys.exit(_fail(str(error)))
    except ModuleNotFoundError as error:
        sys.exit(_fail(f"{error}; install the extra that brings it, for example pip install 'ahsar[all]'"))


def _fail(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return 2
