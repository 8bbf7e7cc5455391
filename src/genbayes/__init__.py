"""Generalized Bayesian inference for scientific simulators by amortized cost estimation.

The public names stand in `__init__.pyi`. Each is imported when it is first used: `import genbayes` alone takes no time.
"""

import warnings

import lazy_loader

__version__ = "0.1.0"

# numpyro imports tqdm, which in a notebook without ipywidgets warns of bars that genbayes never shows.
warnings.filterwarnings("ignore", message="IProgress not found")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
