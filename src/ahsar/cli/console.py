"""Where the command line prints: the terminal, or a file or pipe, which has no width of its own."""

import os

from rich.console import Console

WIDTH = 110  # of what goes to a file or a pipe; the comparison's whole table fits


def console() -> Console:
    """A rich console of the terminal's width; `COLUMNS` decides first."""
    found = Console()
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH)
