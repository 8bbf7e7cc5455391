"""Pictures of a run, each a matplotlib Figure: draws, cost, re-simulated outputs, training, cost accuracy, ladder.

Grey is the prior, blue the posterior, black the observation. Needs the extra `plots` (matplotlib). One file a picture;
in come the objects of a run, out comes a Figure that nothing has to close.
"""

from .costs import cost_accuracy as cost_accuracy
from .costs import cost_profiles as cost_profiles
from .coverages import coverage as coverage
from .losses import training as training
from .pairs import pair as pair
from .positions import predictive_position as predictive_position
from .predictions import predictive as predictive
from .sensitivities import sensitivity as sensitivity
from .stacks import stack as stack
from .stages import ladder as ladder
from .temperatures import choice as choice
from .temperatures import temperature as temperature
