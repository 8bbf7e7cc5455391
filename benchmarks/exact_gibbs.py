"""Draws of a Gibbs posterior without any network: the simulator is run inside the sampler.

For benchmarks: the answer that a fitted cost should lead to, at the price of many runs for every observation.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb


@dataclass(frozen=True)
class Particles:
    """Settings of `exact_posterior`.

    Args:
        candidates: parameters of the pool that each population starts from.
        particles: of each population.
        populations: independent particle systems; their disagreement gives the errors.
        repeats: runs for the expected distance at one parameter.
        screening: of them, those by which bad proposals are told.
        moves: Metropolis steps at each temperature.
        rungs: temperatures, ascending; one that repeats is one with more moves.
    """

    candidates: int = 512
    particles: int = 128
    populations: int = 4
    repeats: int = 4
    screening: int = 2
    moves: int = 8
    rungs: tuple[float, ...] = (25.0, 35.0, 50.0, 70.0, 100.0, 100.0, 100.0)


class Runs:
    """Distances of fresh runs to an observation, in compiled batches of one size."""

    def __init__(self, simulator: Callable, distance: gb.distances.Distance, *, seed: int, batch: int = 512):
        self._keys = (jax.random.fold_in(jax.random.key(seed), i) for i in itertools.count())
        self._batch = batch

        @jax.jit
        def run(key: jax.Array, theta: jax.Array, x_o: jax.Array) -> jax.Array:
            x = jax.vmap(simulator)(jax.random.split(key, batch), theta)
            return jax.vmap(lambda one: distance(one, x_o))(x)

        self._run = run

    def __call__(self, theta: np.ndarray, x_o: np.ndarray, repeats: int) -> np.ndarray:
        """Distances (n, repeats) of runs at parameters (n, dim)."""
        rows = np.repeat(np.asarray(theta, np.float32), repeats, axis=0)
        found = [np.zeros(0)]
        for start in range(0, len(rows), self._batch):
            part = rows[start : start + self._batch]
            padded = jnp.asarray(np.pad(part, ((0, self._batch - len(part)), (0, 0)), mode="edge"))
            found.append(np.asarray(self._run(next(self._keys), padded, jnp.asarray(x_o)))[: len(part)])
        return np.concatenate(found).astype(np.float64).reshape(len(theta), repeats)


def exact_posterior(
    runs: Runs,
    bounds: np.ndarray,
    pool: tuple[np.ndarray, np.ndarray],
    x_o: np.ndarray,
    settings: Particles,
    rng: np.random.Generator,
    correct: bool = True,
) -> Iterator[tuple[float, np.ndarray, np.ndarray, dict[str, float]]]:
    """Draws of the Gibbs posterior exp(-beta E[d | theta]) under a uniform prior, with the simulator in the loop.

    Sequential Monte Carlo from weighted runs of the prior, with differential-evolution steps (ter Braak 2006, with a
    fixed archive: all particles of the rung before). The state is a parameter with `repeats` distances of runs at it,
    whose mean m takes the place of the expectation as in pseudo-marginal MCMC (Andrieu, Roberts 2009). exp(-beta m)
    is too large in expectation by exp(beta^2 var / (2 repeats)) if m is normal; the factor is taken out with the sample
    variance (Ceperley, Dewing 1999).

    Args:
        runs: the simulator and the distance.
        bounds: of the uniform prior, (dim, 2).
        pool: prior draws (n, dim) and the distance (n,) of one run at each.
        x_o: the observation.
        settings: numbers of particles, runs and moves.
        rng: random numbers of the particles.
        correct: take out the bias of the mean.

    Yields:
        After each rung: beta, draws (populations, particles, dim), mean distance (populations, particles) of fresh runs
        at them, and what happened (effective sample size of the reweighting, acceptance).
    """
    shape = (settings.populations, settings.particles)

    def log_weight(d: np.ndarray, beta: float) -> np.ndarray:
        bias = beta**2 * d.var(axis=-1, ddof=1) / (2 * settings.repeats) if correct else 0.0
        return -beta * d.mean(axis=-1) - bias

    def distances(theta: np.ndarray, repeats: int = settings.repeats) -> np.ndarray:
        flat = theta.reshape(-1, theta.shape[-1])
        return runs(flat, x_o, repeats).reshape(*theta.shape[:-1], repeats)

    def moved(theta: np.ndarray, d: np.ndarray, archive: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
        """One Metropolis step in two stages (Christen, Fox 2005): few runs at a bad proposal, all at the others."""
        proposal = reflect(theta + difference(archive, shape, rng), bounds)
        fresh, first = np.full_like(d, np.inf), slice(0, settings.screening)
        fresh[..., first] = distances(proposal, settings.screening)
        screened = -0.5 * beta * (fresh[..., first].mean(axis=-1) - d[..., first].mean(axis=-1))
        left = np.log(rng.random(shape)) < screened
        fresh[left, settings.screening :] = distances(proposal[left], settings.repeats - settings.screening)
        gain = log_weight(fresh[left], beta) - log_weight(d[left], beta) - screened[left]
        left[left] = np.log(rng.random(len(gain))) < gain
        return np.where(left[..., None], proposal, theta), np.where(left[..., None], fresh, d)

    # Each population starts from its own part of the pool, so that the spread of populations holds the pool's error.
    # The weights of fresh runs put right what the noise of the single ones has chosen.
    theta, single = pool
    log_pool = -settings.rungs[0] * single
    parts = np.array_split(rng.permutation(len(theta)), settings.populations)
    chosen = np.stack([part[resample(log_pool[part], settings.candidates, rng)] for part in parts])
    theta, d, log_old = theta[chosen], distances(theta[chosen]), log_pool[chosen]
    for beta in settings.rungs:
        archive, log_new = theta, log_weight(d, beta)
        effective = [float(np.exp(2 * log_sum_exp(w) - log_sum_exp(2 * w))) for w in log_new - log_old]
        chosen = np.stack([resample(w, settings.particles, rng) for w in log_new - log_old])
        theta, d = (np.take_along_axis(values, chosen[..., None], axis=1) for values in (theta, d))
        rates = []
        for _ in range(settings.moves):
            before = theta
            theta, d = moved(theta, d, archive, beta)
            rates.append(np.mean(np.any(theta != before, axis=-1)))
        log_old = log_weight(d, beta)
        # Accepted runs are lower than others at the same parameter.
        unbiased = distances(theta)
        noise = np.sqrt(unbiased.var(axis=-1, ddof=1).mean())
        report = {"ess": float(np.sum(effective)), "acceptance": float(np.mean(rates)), "noise": float(noise)}
        yield beta, theta, unbiased.mean(axis=-1), report


def difference(archive: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Symmetric steps: scaled differences of two archived parameters in some of the coordinates."""
    populations, size, dim = archive.shape
    first = rng.integers(size, size=shape)
    second = (first + rng.integers(1, size, size=shape)) % size
    each = np.arange(populations)[:, None]
    some = rng.random((*shape, dim)) < rng.choice([0.3, 0.6, 1.0], size=(*shape, 1))
    scale = 2.4 / np.sqrt(2 * np.maximum(some.sum(axis=-1, keepdims=True), 1)) * 0.2 ** rng.random((*shape, 1))
    return scale * some * (archive[each, first] - archive[each, second])


def reflect(theta: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Folds parameters at the limits of the prior: a symmetric step stays symmetric."""
    low, width = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
    unit = np.abs((theta - low) / width) % 2
    return low + width * np.where(unit > 1, 2 - unit, unit)


def resample(log_weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic resampling: n indices, as often as their weight asks up to one."""
    edges = np.cumsum(np.exp(log_weights - log_sum_exp(log_weights)))
    return np.minimum(np.searchsorted(edges, (np.arange(n) + rng.random()) / n), len(edges) - 1)


def log_sum_exp(values: np.ndarray) -> float:
    return float(np.logaddexp.reduce(values))
