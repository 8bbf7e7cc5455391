"""Hodgkin-Huxley: the neuron model of Pospischil et al. 2008, to be fitted to intracellular recordings."""

from .conditional import ConditionalHodgkinHuxley as ConditionalHodgkinHuxley
from .conditional import amplitude_of as amplitude_of
from .conditional import conditions_of as conditions_of
from .conditional import conditions_prior as conditions_prior
from .model import Stimulus as Stimulus
from .model import prior as prior
from .recording import Recording as Recording
from .recording import read_recording as read_recording
from .recording import read_recordings as read_recordings
from .recording import recording_files as recording_files
from .simulator import HodgkinHuxley as HodgkinHuxley
from .simulator import traces as traces
from .statistics import STATISTICS as STATISTICS
from .statistics import summary_statistics as summary_statistics
from .task import PRIOR_PREDICTIVE_STD as PRIOR_PREDICTIVE_STD
from .task import hodgkin_huxley as hodgkin_huxley
from .task import observation as observation
