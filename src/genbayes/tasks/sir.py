"""An epidemic of susceptible, infected and recovered people as in the common benchmark of simulation-based inference.

Task T.9 of Lueckmann, Boelts, Greenberg, Goncalves, Macke 2021 (arXiv 2101.04653), by its public definition.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from ..costs.cost import Cost
from ..distances import MeanSquaredError
from ..priors.prior import Prior
from ..runtime.compiling import compiled
from .observations import pushed_outside
from .ode import need_diffrax, solve
from .registry import register
from .task import Task

POPULATION = 1_000_000
# Days of testing: the benchmark keeps every 17th of the days 0 to 160.
TIMES = 17.0 * np.arange(10)
TESTED = 1000
# Normal priors of the logarithms of the rates (per day): medians 0.4 and 0.125.
_MEANS = np.log([0.4, 0.125])
_STDS = np.array([0.5, 0.2])
_NAMES = ("contact_rate", "recovery_rate")


@register(benchmark=True)
def sir() -> Task:
    """The task: two rates per day, outputs the positives among 1000 people tested on ten days, mean squared error.

    The benchmark has no distance; this one is the mean squared error of the share of positives (count / 1000, so that
    its unit is 1). Estimates of least distance have 1.15 times the standard error of the best possible ones (median
    over the prior). Roots of counts would have 1.02, but counts stay what was counted, and the expectation of the
    square is known: mean (p - x_o / 1000)^2 + p (1 - p) / 1000, where p is the infected share of the population. `cost`
    is that, but for the integration error (1e-5 in p). Prior-predictive scales would have 1.09, but weigh day 0, on
    which one run in a thousand finds a positive, 10^7 times as much as the peak.

    Inverse temperatures: beta = 10 takes 7 % off the prior's mean cost of 0.012; beta = 10,000 brings it to 0.00012,
    twice the replicate distance (means over specified observations).

    `misspecified` observations are outputs pushed outside the range of the simulations as for every task, but rounded
    and kept between 0 and 1000 in every step: counts that an office could report, and no epidemic of one wave makes.

    Raises:
        ImportError: diffrax is not installed.
    """
    need_diffrax("sir")
    cost = Cost.exact(expected_distance, names=_NAMES, x_shape=TIMES.shape, units="1 (squared multiples of the scale)")
    return Task(
        "sir",
        _prior(),
        simulate,
        MeanSquaredError(scale=float(TESTED)),
        cost=cost,
        betas=(10.0, 300.0, 10_000.0),
        reference=reference,
        misspecified=misspecified,
    )


def _prior() -> Prior:
    pairs = zip(_NAMES, _MEANS, _STDS, strict=True)
    return Prior({name: dist.LogNormal(float(mean), float(std)) for name, mean, std in pairs})


def simulate(key: PRNGKeyArray, theta: Float[Array, "2"]) -> Float[Array, " times"]:
    """One output: positive tests; NaN where the integration fails."""
    infected = shares(theta)[:, 1]
    return jax.random.binomial(key, TESTED, jnp.clip(infected, 0.0, 1.0))


def expected_distance(theta: Float[Array, "2"], x_o: Float[Array, " times"]) -> Float[Array, ""]:
    """E[mean ((x - x_o) / 1000)^2 | theta]: squared distance of the means plus the binomial variance."""
    p = jnp.clip(shares(theta)[:, 1], 0.0, 1.0)
    return jnp.mean((p - x_o / TESTED) ** 2 + p * (1 - p) / TESTED)


def shares(theta: Float[Array, "2"]) -> Float[Array, "times 3"]:
    """Susceptible, infected and recovered shares of the population on the days `TIMES`.

    dS/dt = -contact S I, dI/dt = contact S I - recovery I, dR/dt = recovery I in shares, with one person infected at
    first; S and I are integrated in logarithms, for I falls below what float32 resolves beside 1.
    """
    contact, recovery = theta

    def field(y: Array) -> Array:
        susceptible, infected = jnp.exp(y[:2])
        return jnp.stack([-contact * infected, contact * susceptible - recovery, recovery * infected])

    start = jnp.asarray([np.log1p(-1 / POPULATION), -np.log(POPULATION), 0.0], jnp.float32)
    path = solve(field, start, jnp.asarray(TIMES, jnp.float32), 0.1, "sir")
    return jnp.concatenate([jnp.exp(path[:, :2]), path[:, 2:]], axis=1)


def misspecified(
    theta: Float[np.ndarray, "n 2"], x: Float[np.ndarray, "n times"], seed: int
) -> Float[np.ndarray, "n times"]:
    """Whole counts between 0 and 1000 of which at least one is outside the range of 10,000 simulations."""
    del theta
    return pushed_outside(_prior(), simulate, x, seed=seed, settle=lambda counts: np.clip(np.round(counts), 0, TESTED))


_PER_AXIS = 160


def reference(x_o: Float[np.ndarray, " times"], beta: float, n: int, seed: int) -> Float[np.ndarray, "n 2"]:
    """Independent draws of the Gibbs posterior by a grid in standardised log rates, fitted to it in three steps.

    The first grid spans six prior standard deviations to both sides, each next one the cells that hold more than e^-20
    of the highest density, with a margin. The density within a cell is taken as that at its centre: an error of
    (cell / posterior width)^2, below 1e-3.
    """
    low, high = np.full(2, -6.0), np.full(2, 6.0)
    target = jnp.asarray(x_o, jnp.float32)
    for step in range(3):
        width = (high - low) / _PER_AXIS
        axes = low[:, None] + width[:, None] * (np.arange(_PER_AXIS) + 0.5)
        mesh = np.stack([part.reshape(-1) for part in np.meshgrid(*axes, indexing="ij")], axis=1)
        theta = np.exp(_MEANS + _STDS * mesh).astype(np.float32)
        log_density = -beta * np.asarray(_costs(jnp.asarray(theta), target), np.float64) - np.sum(mesh**2, axis=1) / 2
        log_density = np.where(np.isnan(log_density), -np.inf, log_density)
        log_density -= log_density.max()
        if step < 2:
            inside = mesh[log_density > -20]
            low, high = inside.min(axis=0) - 2 * width, inside.max(axis=0) + 2 * width
    rng = np.random.default_rng(seed)
    weights = np.exp(log_density)
    cells = rng.choice(len(mesh), size=n, p=weights / weights.sum())
    standard = mesh[cells] + width * (rng.random((n, 2)) - 0.5)
    return np.exp(_MEANS + _STDS * standard).astype(np.float32)


@compiled
def _costs(theta: Float[Array, "n 2"], x_o: Float[Array, " times"]) -> Float[Array, " n"]:
    return jax.vmap(lambda one: expected_distance(one, x_o))(theta)
