"""The explorer as a widget of notebooks, by anywidget: what is moved in it is known to Python."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .markup import PAGE, WORKER, page_style, program, style

if TYPE_CHECKING:
    import anywidget


def widget_module() -> str:
    """The module of the widget: the page's own programs, in a scope of their own."""
    worker = json.dumps(program(WORKER) + "\nlisten(self);")
    # In the shadow of a cell there is neither a root nor a body of a page.
    own = page_style().replace(":root", ":host")
    own = re.sub(
        r"^body \{ margin: 0 auto; max-width: 62rem; padding: [^;]*;", ".page { padding: .5rem;", own, flags=re.M
    )
    css = json.dumps(own + style())
    return (
        f"{program((*PAGE, 'widget'))}\n"
        f"const workerSource = {worker};\nconst css = {css};\n"
        "export default { render: (given) => render(given, workerSource, css) };\n"
    )


def made_widget(numbers: str, beta: float, x_o: np.ndarray) -> anywidget.AnyWidget:
    """A widget with the traits `beta` and `x_o` (missing values are None).

    Args:
        numbers: what the page is made of, as JSON.
        beta: of the posterior.
        x_o: its observation, of any shape; the widget's is a list.

    Raises:
        ImportError: anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ImportError(
            'a widget needs anywidget, which is not installed: pip install "genbayes[notebook]"; or leave .widget() '
            "out, and the cell shows the explorer in a frame."
        ) from error

    class Explorer(anywidget.AnyWidget):
        """The explorer of a posterior; `beta` and `x_o` can be read, set and observed."""

        _esm: Any = widget_module()
        numbers: Any = traitlets.Unicode().tag(sync=True)
        beta: Any = traitlets.Float().tag(sync=True)
        x_o: Any = traitlets.List(traitlets.Float(allow_none=True)).tag(sync=True)

        @traitlets.validate("beta")
        def _positive(self, proposal: Any) -> float:
            if not (np.isfinite(proposal["value"]) and proposal["value"] > 0):
                raise traitlets.TraitError(f"beta must be greater than 0, got {proposal['value']!r}.")
            return proposal["value"]

        @traitlets.validate("x_o")
        def _as_many(self, proposal: Any) -> list[float | None]:
            values = proposal["value"]
            if len(values) != np.size(x_o):
                raise traitlets.TraitError(f"x_o must have {np.size(x_o)} values, got {len(values)}.")
            return values

    values = [float(value) if np.isfinite(value) else None for value in np.ravel(x_o)]
    return Explorer(numbers=numbers, beta=float(beta), x_o=values)
