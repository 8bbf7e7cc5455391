"""How strongly the cost speaks: posteriors along a ladder of inverse temperatures, and rules that choose one."""

from .bootstrap import bootstrap as bootstrap
from .calibrated import calibrated as calibrated
from .choice import NO_RESCUE as NO_RESCUE
from .choice import Choice as Choice
from .ladder import Ladder as Ladder
from .ladder import ladder as ladder
from .noise_floor import noise_floor as noise_floor
