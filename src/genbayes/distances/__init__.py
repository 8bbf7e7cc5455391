"""Distances between one output and one target; `genbayes.distances.NAME(...)`."""

from .additive import AdditiveDistance as AdditiveDistance
from .base import Distance as Distance
from .base import HilbertDistance as HilbertDistance
from .base import UserDistance as UserDistance
from .sets import MMD as MMD
from .sets import EnergyDistance as EnergyDistance
from .sets import SlicedWasserstein as SlicedWasserstein
from .vectors import CappedError as CappedError
from .vectors import HuberError as HuberError
from .vectors import Mahalanobis as Mahalanobis
from .vectors import MeanAbsoluteError as MeanAbsoluteError
from .vectors import MeanSquaredError as MeanSquaredError
