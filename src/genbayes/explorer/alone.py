"""The explorer as a page of its own: in a notebook, in a file, or served by `genbayes explore`."""

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sampling.draws import Draws
from ..sampling.draws_origin import need_own_draws
from ..sampling.joint import remedy_for_joint
from ..sampling.posterior import GibbsPosterior
from ..simulations.rows import Simulations
from .markup import explorer_body, page_style
from .payload import explorer_data
from .widget import made_widget

if TYPE_CHECKING:
    import anywidget

# Made where none are given.
_DRAWS = 2000


@dataclass(frozen=True, repr=False)
class ExplorerPage:
    """A page with the explorer of one posterior; the last line of a notebook's cell shows it.

    Attributes:
        title: heading of the page.
        html: the whole page, which needs no network and no further files.
        numbers: what it is made of, as JSON.
        beta: that was sampled.
        x_o: the observation that was sampled.

    Example:
        >>> shown = gb.explore(posterior, draws)
        >>> shown.save("explorer.html")
    """

    title: str
    html: str
    numbers: str
    beta: float
    x_o: np.ndarray

    def __repr__(self) -> str:
        return f"ExplorerPage({self.title!r}, {len(self.html) / 1e3:.0f} kB)"

    def _repr_html_(self) -> str:
        # Scripts run, and reach nothing of the notebook: without allow-same-origin the page has an origin of its own.
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" srcdoc="{html.escape(self.html)}" '
            'style="width: 100%; height: 56rem; border: 0; resize: vertical"></iframe>'
        )

    def widget(self) -> "anywidget.AnyWidget":
        """The explorer as a widget of Jupyter or marimo, by anywidget (extra `notebook`).

        What is moved in it is known to Python, once it has come to rest: its traits `beta` and `x_o` (a list; None for
        a value that is left out) can be read, set and observed. In marimo: `mo.ui.anywidget(shown.widget())`. A page
        that is exported from the notebook keeps the frame that `explore` shows by itself, and not a widget.

        Raises:
            ImportError: If anywidget is not installed.

        Example:
            >>> moved = gb.explore(posterior, draws).widget()
            >>> there = gb.GibbsPosterior(prior, cost, np.array(moved.x_o, float), moved.beta)
        """
        return made_widget(self.numbers, self.beta, self.x_o)

    def save(self, path: str | os.PathLike) -> Path:
        """Writes the page to a file, whose folder is made if missing, and returns its path.

        Example:
            >>> gb.explore(posterior, draws).save("explorer.html")
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html, "utf-8")
        return path


def explore(
    posterior: GibbsPosterior,
    draws: Draws | None = None,
    *,
    simulations: Simulations | None = None,
    title: str | None = None,
    axis: Any = None,
    labels: Sequence[str] | None = None,
) -> ExplorerPage:
    """The explorer of a posterior, in which you move beta, the observation, weights and held parameters.

    A notebook shows it where it is the last line of a cell; `save` writes it as a page of its own. It is that of the
    reports, and needs neither network nor a running Python. `posterior.explore(draws)` is the same.

    Args:
        posterior: The `GibbsPosterior` that was sampled.
        draws: Its `Draws`, shape (chain, draw, dim); without them 2,000 are made, with seed 0.
        simulations: The `Simulations` of the training, which say where outputs were; without them the rows that the
            cost keeps do.
        title: Heading of the page.
        axis: Times of a series, or (times, label), or what `read_observation` returned, as in `report`.
        labels: Names with units of the output's coordinates or channels, as in `report`.

    Returns:
        The page.

    Raises:
        TypeError: If posterior or draws are something else.
        ValueError: If the draws are not the posterior's, or if cost, prior or observation have no program in the page.

    Example:
        >>> gb.explore(posterior, draws)
        >>> posterior.explore(draws).save("explorer.html")
    """
    if not isinstance(posterior, GibbsPosterior) or not isinstance(draws, Draws | None):
        got = f"{type(posterior).__name__}, {type(draws).__name__}"
        raise TypeError(
            f"explore takes a GibbsPosterior and its Draws (or no draws), got ({got}).{remedy_for_joint(posterior)}"
        )
    if simulations is not None and not isinstance(simulations, Simulations):
        raise TypeError(
            f"simulations must be the genbayes.Simulations of the training, or None, got {type(simulations).__name__}."
        )
    if draws is None:
        draws = posterior.sample(_DRAWS, seed=0)
    need_own_draws(posterior, draws)
    data = explorer_data(posterior, draws, simulations=simulations, axis=axis, labels=labels)
    # As in a report, whose headings the explorer's own stand below.
    body = f"<h2>Explorer</h2>\n{explorer_body(data)}"
    title = title or "Generalized Bayesian inference"
    subtitle = f"{len(draws):,} draws of {len(draws.names)} parameters, beta {draws.beta:g}, sampler {draws.sampler}."
    page = page_alone(title, subtitle, body)
    return ExplorerPage(title, page, json.dumps(data, allow_nan=False), posterior.beta, np.asarray(posterior.x_o))


def page_alone(title: str, subtitle: str, body: str) -> str:
    """A whole page.

    Args:
        title: plain text.
        subtitle: plain text.
        body: HTML.
    """
    template = Template(resources.files("genbayes.explorer").joinpath("static", "page.html").read_text("utf-8"))
    words = {"title": html.escape(title), "subtitle": html.escape(subtitle)}
    return template.substitute(words, body=body, style=page_style())
