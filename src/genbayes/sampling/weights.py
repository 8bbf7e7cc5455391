"""Draws whose chains count by their evidence: what sequential Monte Carlo knows of populations that disagree."""

import numpy as np
from jaxtyping import Float

from .draws import Draws


def moments(
    draws: Draws,
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Mean, standard deviation and Monte Carlo error of the mean, each population of SMC weighted by its evidence.

    A population that lost the main mode on its way has little evidence; in equal shares it would feign a shift.
    """
    theta = draws.theta.astype(np.float64)
    weights = chain_weights(draws)
    means = theta.mean(axis=1)
    mean = weights @ means
    std = np.sqrt(weights @ np.mean((theta - mean) ** 2, axis=1))
    # Populations may agree by chance: the error of independent draws is a lower bound.
    between = np.sum((weights[:, None] * (means - mean)) ** 2, axis=0)
    return mean, std, np.sqrt(np.maximum(between, std**2 * np.sum(weights**2) / theta.shape[1]))


def some_draws(draws: Draws, m: int) -> Float[np.ndarray, "m dim"]:
    """`m` draws, or all if they are fewer, spread evenly, of every chain in its share.

    Always as many: another number of rows would compile another program.
    """
    chains, length, dim = draws.theta.shape
    wanted = chain_weights(draws) * min(m, chains * length)
    counts = np.floor(wanted).astype(int)
    # The draws that rounding down leaves go to the largest remainders.
    counts[np.argsort(counts - wanted, kind="stable")[: min(m, chains * length) - counts.sum()]] += 1
    rows = [
        chain[np.linspace(0, length - 1, count).round().astype(int)]
        for chain, count in zip(draws.theta, counts, strict=True)
    ]
    return np.concatenate(rows).reshape(-1, dim)


def chain_weights(draws: Draws) -> Float[np.ndarray, " chain"]:
    """Shares of the chains: of SMC those of their evidence, else equal ones."""
    evidence = np.asarray(draws.statistics.get("log_evidence_per_population", np.zeros(len(draws.theta))), np.float64)
    if evidence.shape != (len(draws.theta),) or not np.all(np.isfinite(evidence)):
        evidence = np.zeros(len(draws.theta))
    weights = np.exp(evidence - evidence.max())
    return weights / weights.sum()
