"""Monte Carlo errors of tempered particles, by the draws of the prior that they descend from.

Chains that agree and draws that are independent of their neighbours do not say how well the SHARES of several modes are
known: a particle does not pass from one to another, and the share of a mode was settled when its ancestors were drawn
and resampled. Which ancestor each particle descends from is what tells: descendants of one ancestor share their fate,
and those of different ones are all but independent. With S_a the sum of f - mean f over the descendants of a,

    Var[mean f]  is estimated by  sum_a S_a^2 / M^2 / (1 - sum_a (n_a / M)^2),     M draws, n_a of ancestor a

(Chan and Lai 2013, Annals of Statistics 41; Lee and Whiteley 2018, Biometrika 105). Where moves carry
particles through the whole posterior, descendants of one ancestor are independent as well, and the draws count in full.
"""

import numpy as np
import scipy
from jaxtyping import Float, Int
from scipy.special import ndtri

# A share of draws is looked at below each of these quantiles of a parameter: a gap between modes is near one of them.
_QUANTILES = np.arange(1, 10) / 10


def normal_scores(flat: Float[np.ndarray, "draws dim"]) -> Float[np.ndarray, "draws dim"]:
    """Normal scores of the ranks, each parameter by itself."""
    return ndtri((scipy.stats.rankdata(flat, axis=0) - 0.375) / (len(flat) + 0.25))


def effective_size(
    values: Float[np.ndarray, "draws k"], ancestor: Int[np.ndarray, "chain draw"]
) -> Float[np.ndarray, " k"]:
    """How many independent draws would know the mean of each function as well; at most as many as there are.

    Args:
        values: of k functions at all draws, chain after chain.
        ancestor: number of the draw of the prior that each draw descends from; chains have ancestors of their own.

    Returns:
        NaN where a function does not vary; 1 where all draws have one ancestor.
    """
    m = len(values)
    order, starts = _families(ancestor)
    away = values - values.mean(axis=0)
    together = np.add.reduceat(away[order], starts, axis=0)
    several = 1 - 1 / _number(starts, m)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = m * several * np.sum(away**2, axis=0) / np.sum(together**2, axis=0)
    varies = np.ptp(values, axis=0) > 0
    return np.where(varies, np.clip(np.nan_to_num(size, nan=1.0), 1.0, m), np.nan)


def ancestral_size(
    theta: Float[np.ndarray, "chain draw dim"], ancestor: Int[np.ndarray, "chain draw"]
) -> Float[np.ndarray, " dim"]:
    """The least effective sample size of each parameter's normal scores and of its shares below nine quantiles."""
    flat = theta.reshape(-1, theta.shape[-1])
    below = [flat <= level for level in np.quantile(flat, _QUANTILES, axis=0)]
    functions = np.concatenate([normal_scores(flat), *below], axis=1)
    sizes = effective_size(functions, ancestor).reshape(-1, theta.shape[-1])
    return np.fmin.reduce(sizes, axis=0)


def allowance(ancestor: Int[np.ndarray, "chain draw"], dim: int) -> float:
    """Factor by which `ancestral_size` may be too small by chance, for it is the least of many noisy numbers.

    A variance that is estimated from C families has a relative standard deviation of sqrt(2 / C), and the largest of K
    normal numbers lies some sqrt(2 log K) standard deviations above their mean.
    """
    number = _number(_families(ancestor)[1], ancestor.size)
    return float(1 + 2 * np.sqrt(np.log((len(_QUANTILES) + 1) * dim) / number))


def _families(
    ancestor: Int[np.ndarray, "chain draw"],
) -> tuple[Int[np.ndarray, " draws"], Int[np.ndarray, " families"]]:
    """An order of the draws in which relatives stand together, and where each family begins."""
    labels = ancestor.astype(np.int64) + (int(ancestor.max()) + 1) * np.arange(len(ancestor))[:, None]
    order = np.argsort(labels, axis=None, kind="stable")
    return order, np.flatnonzero(np.diff(labels.reshape(-1)[order], prepend=-1))


def _number(starts: Int[np.ndarray, " families"], m: int) -> float:
    """Of how many families of equal size the draws might be."""
    return float(1 / np.sum((np.diff(starts, append=m) / m) ** 2))
