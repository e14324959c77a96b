"""A Matplotlib figure that notebooks show as it is, with pyplot or without."""

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that belongs to no window: closing, showing and saving it are its owner's."""

    def _repr_png_(self) -> bytes:
        """What IPython asks for; pyplot's inline backend, where it is on, comes first and gives the same picture once."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
