"""Ready problems: real data to show the method on, and ones with exact answers to test it against."""

import importlib
import pkgutil

# What readers and type checkers see by name; a task that is not listed is found and registered all the same.
from .gaussian_mixture import gaussian_mixture as gaussian_mixture
from .linear_gaussian import linear_gaussian as linear_gaussian
from .lotka_volterra import lotka_volterra as lotka_volterra
from .lynx_hare import lynx_hare as lynx_hare
from .monte_carlo import expected_distance as expected_distance
from .observations import draw_observations as draw_observations
from .observations import read_observations as read_observations
from .registry import BENCHMARK as BENCHMARK
from .registry import TASKS as TASKS
from .registry import register as register
from .sir import sir as sir
from .task import Task as Task
from .two_moons import two_moons as two_moons
from .uniform_1d import uniform_1d as uniform_1d

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
# A task is called as its module, in whose place it stands here.
globals().update(TASKS)
