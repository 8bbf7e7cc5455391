"""The explorer as a piece of HTML that needs nothing else: data, programs and style in one."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from ..sampling.draws import Draws
from ..sampling.posterior import GibbsPosterior
from .numbers import NotExportable
from .payload import explorer_data

# In the order in which they build on one another; each is a module, and all together are one program.
_SUMS = ("numbers", "kernel", "regressions", "processes", "features", "forms", "general", "blurred", "marginal", "cost")
WORKER = (*_SUMS, "prior", "populations", "targets", "sampler", "worker")
PAGE = ("numbers", "controls", "columns", "pictures", "trust", "page", "show")
# Bytes of the data of one explorer at most.
MOST_BYTES = 1_000_000

_EXACT = (
    "The page holds the fitted cost itself, not an approximation: polynomials, networks and mixtures as numbers. It is "
    "computed in double precision from numbers in single precision. Python, in single precision, agrees to about five "
    "digits, and to three or four where it sums a Gaussian process of almost exact runs. "
    "Draws are new for everything you ask: they are reweighted from stored ones, moved until they are independent, and "
    "carry Monte Carlo error. Checks beside it are those of the observation and the beta that were sampled."
)


def program(names: Iterable[str]) -> str:
    """Modules as one program: what they import of each other stands above them."""
    folder = resources.files("genbayes.explorer").joinpath("static")
    texts = [folder.joinpath(f"{name}.js").read_text("utf-8") for name in names]
    return "\n".join(re.sub(r"^import [^;]*;\n|^export (?=\w)", "", text, flags=re.MULTILINE) for text in texts)


def style() -> str:
    """The style of the page's part."""
    return resources.files("genbayes.explorer").joinpath("static", "explorer.css").read_text("utf-8")


def scrolling(name: str) -> str:
    """The attributes of what scrolls by itself where the page is narrow: the keyboard reaches it, and it has a name."""
    return f'tabindex="0" role="group" aria-label="{html.escape(name)}"'


def page_style() -> str:
    """What all pages look like: colours in the light and in the dark, text and tables."""
    return resources.files("genbayes.explorer").joinpath("static", "page.css").read_text("utf-8")


def explorer_part(posterior: GibbsPosterior, draws: Draws, **shown: Any) -> str:
    """HTML of the explorer of a posterior, or the sentence that says why there is none.

    Args:
        posterior: that was sampled.
        draws: its draws.
        **shown: as in `explorer_data`.
    """
    try:
        return explorer_body(explorer_data(posterior, draws, **shown))
    except NotExportable as reason:
        text = f"This report has no explorer. {reason} Everything else below is complete."
        return f'<p class="muted">{html.escape(text)}</p>'


def explorer_body(data: Mapping[str, Any]) -> str:
    """HTML of an explorer, for a section of a page that defines the colours of the report's template.

    Raises:
        NotExportable: the numbers are too many for a page.
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    if len(text) > MOST_BYTES:
        raise NotExportable(
            f"The cost has {len(text) / 1e6:.2g} MB as numbers, and a page takes {MOST_BYTES / 1e6:.2g} MB: fit it "
            "with fewer members, narrower networks, or outputs that are summaries."
        )
    start = (
        'mount(document.getElementById("explorer"), JSON.parse(document.getElementById("explorer-data").textContent), '
        'document.getElementById("explorer-worker").textContent);'
    )
    return "\n".join(
        [
            '<p class="muted">Move beta, drag the observation, leave values out, hold a parameter: the posterior '
            "follows. Nothing leaves this page.</p>",
            f"<style>\n{style()}</style>",
            '<div class="explorer" id="explorer"><p>The explorer needs JavaScript, which is off or still starting; '
            "nothing else on this page does.</p></div>",
            f'<script type="application/json" id="explorer-data">{text}</script>',
            f'<script type="text/plain" id="explorer-worker">{program(WORKER)}\nlisten(self);</script>',
            f'<script type="module">{program(PAGE)}\n{start}</script>',
            f"<details><summary>What is exact here</summary><p>{html.escape(_EXACT)}</p></details>",
        ]
    )
