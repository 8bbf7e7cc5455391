"""Gibbs posteriors and their samplers: exp(-beta cost) x prior, for one observation or a stack of them.

In come a prior, a cost, observations and inverse temperatures; out come `Draws` and `StackedDraws`, with the
diagnostics that say whether they can be believed.
"""

# A sampler registers itself when its file is imported.
from . import nuts as nuts
from . import smc as smc
