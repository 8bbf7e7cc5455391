"""The class of the pictures: a matplotlib Figure that a notebook shows by itself. Importing it needs matplotlib."""

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A Figure that is a cell's picture also where `matplotlib.pyplot`, which shows figures, was never imported."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png")
        return image.getvalue()
