"""Diagnostics of chains by their draws alone: whether they agree, and how many independent draws they are worth."""

import numpy as np
from jaxtyping import Bool, Float
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from .ancestry import effective_size, normal_scores


def split_rhat(theta: Float[np.ndarray, "chain draw dim"]) -> Float[np.ndarray, " dim"]:
    """See `Draws.rhat`."""
    if theta.shape[1] < 4:
        return np.full(theta.shape[2], np.nan)
    folded = np.abs(theta - np.median(theta, axis=(0, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        both = [np.asarray(split_gelman_rubin(_scores(values))) for values in (theta, folded)]
    # Chains that do not move at all have no variance within: equal ones 0 / 0, different ones x / 0. The variances
    # are then rounding errors, so the chains themselves are asked.
    spread = np.ptp(theta, axis=1)
    stuck = np.all(spread == 0, axis=0) & (np.ptp(theta[:, 0], axis=0) > 0)
    return np.where(stuck, np.inf, np.fmax(*both))


def bulk_size(theta: Float[np.ndarray, "chain draw dim"]) -> Float[np.ndarray, " dim"]:
    """See `Draws.ess_bulk`."""
    if theta.shape[1] < 4:
        return np.full(theta.shape[2], np.nan)
    half = theta.shape[1] // 2
    split = np.concatenate([theta[:, :half], theta[:, -half:]])
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.asarray(effective_sample_size(_scores(split)))
    return np.minimum(np.nan_to_num(size, nan=1.0), theta.shape[0] * theta.shape[1])


def _scores(values: Float[np.ndarray, "chain draw dim"]) -> Float[np.ndarray, "chain draw dim"]:
    """Normal scores of the ranks over all chains, each parameter by itself."""
    return normal_scores(values.reshape(-1, values.shape[-1])).reshape(values.shape)


def certain(
    theta: Float[np.ndarray, "*batch chain draw dim"], names: tuple[str, ...], integers: tuple[str, ...]
) -> Bool[np.ndarray, "*batch dim"]:
    """Which parameters are integers that have one value in all draws (..., chain, draw, dim): all chains agree."""
    return np.isin(names, integers) & (np.ptp(theta, axis=(-3, -2)) == 0)


def error_of_mean(values: Float[np.ndarray, "chain draw"], ancestor: np.ndarray | None) -> float:
    """See `Draws.standard_error`; `ancestor` is the number of the draw of the prior that each draw descends from."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = min(float(np.nan_to_num(effective_sample_size(values), nan=values.size)), values.size)
    if ancestor is not None:
        size = np.fmin(size, effective_size(values.reshape(-1, 1), np.asarray(ancestor))[0])
    return float(values.std() / np.sqrt(size))
