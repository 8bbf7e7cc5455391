"""Ready problems: real data to show the method on, and ones with exact answers to test it against."""

from collections.abc import Callable

from .gaussian_mixture import gaussian_mixture as gaussian_mixture
from .linear_gaussian import linear_gaussian as linear_gaussian
from .lotka_volterra import lotka_volterra as lotka_volterra
from .lynx_hare import lynx_hare as lynx_hare
from .monte_carlo import expected_distance as expected_distance
from .observations import draw_observations as draw_observations
from .observations import read_observations as read_observations
from .sir import sir as sir
from .task import Task as Task
from .two_moons import two_moons as two_moons
from .uniform_1d import uniform_1d as uniform_1d

# The tasks of `genbayes benchmark`.
BENCHMARK: dict[str, Callable[[], Task]] = {
    "uniform_1d": uniform_1d,
    "two_moons": two_moons,
    "linear_gaussian": linear_gaussian,
    "gaussian_mixture": gaussian_mixture,
    "lotka_volterra": lotka_volterra,
    "sir": sir,
}
