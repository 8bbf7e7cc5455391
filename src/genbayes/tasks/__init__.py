"""Ready problems: real data to show the method on, and ones with exact answers to test it against."""

from .linear_gaussian import linear_gaussian as linear_gaussian
from .lynx_hare import lynx_hare as lynx_hare
from .task import Task as Task
