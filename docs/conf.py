"""How Sphinx builds the site: `make site`. The source is the repository's root, so that links work on both sides."""

import os
import sys
from pathlib import Path

from genbayes.runtime.compile_cache import cache_in_environment

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "site"

project = "genbayes"
author = "The genbayes developers"
copyright = author
html_title = "genbayes"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "site_files"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "benchmarks/*.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["site", ".venv", "dist", "demo", "src", "tests", "examples", "**/.*"]

# A heading can be linked to by its words, as on GitHub.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Notebooks run in folders of their own. What has run is kept, and runs again when its code has changed.
nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILT / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
# Where notebooks leave the reports and pictures that other pages show.
os.environ["GENBAYES_SITE_FILES"] = str(BUILT / "extra")
for folder in ("reports", "pictures"):
    (BUILT / "extra" / folder).mkdir(parents=True, exist_ok=True)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Their commands find genbayes where Sphinx did, and all share the programs that one has compiled.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
cache_in_environment(os.environ)
# Commands print as into a file, without bars that move.
os.environ["TTY_COMPATIBLE"] = "0"
# A program that another process is writing is compiled once more.
os.environ["PYTHONWARNINGS"] = ",".join(
    f"ignore:Error {done} persistent compilation" for done in ("writing", "reading")
)

# Single backticks of docstrings are names: links where the name is public, code where it is not.
default_role = "py:obj"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88

html_theme = "sphinx_book_theme"
html_extra_path = [str(BUILT / "extra")]
html_static_path = ["static"]
templates_path = ["templates"]
html_sidebars = {"**": ["site-name.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "collapse_navbar": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_issues_button": False,
    "use_repository_button": False,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
pygments_style = "friendly"
