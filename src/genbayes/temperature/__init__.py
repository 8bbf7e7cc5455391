"""How strongly the cost speaks: posteriors along a ladder of inverse temperatures, and rules that choose one."""

from .choice import NO_RESCUE as NO_RESCUE
from .choice import Choice as Choice
from .ladders import Ladder as Ladder
from .ladders import ladder as ladder
from .rule_bootstrap import bootstrap as bootstrap
from .rule_calibrated import calibrated as calibrated
from .rule_noise_floor import noise_floor as noise_floor
