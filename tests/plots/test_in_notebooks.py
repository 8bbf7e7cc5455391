"""A notebook shows the pictures, whether or not pyplot, which tells IPython how to show figures, was imported."""

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import genbayes
from genbayes import plots

DRAWS = SimpleNamespace(flat=np.random.default_rng(0).standard_normal((500, 1)), names=("a",))


def test_a_picture_is_its_own_png():
    figure: Any = plots.pair(DRAWS)
    assert issubclass(type(figure), Figure)
    shape = imread(io.BytesIO(figure._repr_png_())).shape
    width, height = figure.get_size_inches() * figure.dpi
    assert shape == (int(height), int(width), 4)
    assert pickle.loads(pickle.dumps(figure))._repr_png_()


def test_ipython_shows_a_picture_without_pyplot():
    pytest.importorskip("IPython")
    code = """if True:
        import sys
        import numpy as np
        from types import SimpleNamespace
        from genbayes import plots
        from IPython.core.formatters import DisplayFormatter
        figure = plots.pair(SimpleNamespace(flat=np.random.default_rng(0).normal(size=(500, 1)), names=("a",)))
        shown, _ = DisplayFormatter(active_types=["text/plain", "image/png"]).format(figure)
        assert "matplotlib.pyplot" not in sys.modules
        print(shown["image/png"][:4])
    """
    source = str(Path(genbayes.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert run.stdout.strip() == str(b"\x89PNG")
