"""Samplers: a `Target` (prior, cost, observation, beta) -> `Draws`."""

from .draws import Draws as Draws
from .nuts import NUTS as NUTS
from .smc import SMC as SMC
from .stacked import StackedDraws as StackedDraws
from .target import Sampled as Sampled
from .target import Sampler as Sampler
from .target import Target as Target
from .target import Targets as Targets
