"""Every test runs with shapes checked against the annotations and with implicit rank promotion forbidden."""

import os

os.environ.setdefault("MPLBACKEND", "agg")

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")
hook = install_import_hook("genbayes", "beartype.beartype")
with hook:
    import genbayes as genbayes
