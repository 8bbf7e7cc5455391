"""The explorer as a piece of HTML that needs nothing else: data, programs and style in one."""

import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

# In the order in which they build on one another; each is a module, and all together are one program.
WORKER = "numbers regressions features forms marginal cost prior populations targets sampler worker".split()
PAGE = "numbers controls pictures trust page show".split()
# Bytes of the data of one explorer at most.
MOST_BYTES = 1_000_000

_EXACT = (
    "The page holds the fitted cost itself, not an approximation: polynomials, networks and mixtures as numbers. It is "
    "computed in double precision from numbers in single precision, and agrees with Python's to about five digits. "
    "Draws are new for everything you ask: they are reweighted from stored ones, moved until they are independent, and "
    "carry Monte Carlo error. Checks of the report are those of the report's own observation and beta."
)


def program(names: list[str]) -> str:
    """Modules as one program: what they import of each other stands above them."""
    folder = resources.files("genbayes.explorer").joinpath("static")
    texts = [folder.joinpath(f"{name}.js").read_text("utf-8") for name in names]
    return "\n".join(re.sub(r"^import [^;]*;\n|^export (?=\w)", "", text, flags=re.MULTILINE) for text in texts)


def style() -> str:
    """The style of the page's part."""
    return resources.files("genbayes.explorer").joinpath("static", "explorer.css").read_text("utf-8")


def explorer_body(data: Mapping[str, Any]) -> str:
    """HTML of an explorer, for a section of a page that defines the colours of the report's template."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    start = (
        'mount(document.getElementById("explorer"), JSON.parse(document.getElementById("explorer-data").textContent), '
        'document.getElementById("explorer-worker").textContent);'
    )
    return "\n".join(
        [
            '<p class="muted">Move beta, drag the observation, leave values out, hold a parameter: the posterior '
            "follows. Nothing leaves this page.</p>",
            f"<style>\n{style()}</style>",
            '<div class="explorer" id="explorer"><p>The explorer needs JavaScript, which is off or still starting; the '
            "rest of the report does not.</p></div>",
            f'<script type="application/json" id="explorer-data">{text}</script>',
            f'<script type="text/plain" id="explorer-worker">{program(WORKER)}\nlisten(self);</script>',
            f'<script type="module">{program(PAGE)}\n{start}</script>',
            f"<details><summary>What is exact here</summary><p>{html.escape(_EXACT)}</p></details>",
        ]
    )
