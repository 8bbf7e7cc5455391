"""Scales on which outputs are regressed: as they are, as square roots, or as logarithms.

The noise of counts grows with their mean, and that of sizes and rates is proportional to it: on the scale of square
roots, or of logarithms, it is even (Bartlett 1947), and a smooth function there is not ruled by its largest values.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

# The kinds of scale, by their numbers in `Warps.kind`.
STRAIGHT, ROOT, LOGARITHM = 0, 1, 2
# What is added to counts before their root is taken (Anscombe 1948), and before their logarithm is, in units of the
# least positive value; nothing is where no output is 0.
_ADDED = {STRAIGHT: 0.0, ROOT: 0.375, LOGARITHM: 0.5}

# Rounds of reweighting.
_ROUNDS = 10


class Warps(eqx.Module):
    """The scale of each output, and the way back to its mean.

    Attributes:
        kind: one of the kinds above for each output.
        added: to outputs, before they are warped.
        level: (3, k), coefficients of 1, g and g^2 of the warped mean g: the mean output plus `added` where it is
            regressed on roots, its logarithm on that scale. The noise enters there: E[x] is g^2 plus a variance, or
            exp(g) times a factor (Duan 1983), which may depend on the level.
        least: the smallest warped output.
        most: the largest; beyond it nothing was simulated, and exponentials overflow.
    """

    kind: Float[Array | np.ndarray, "*members k"]
    added: Float[Array | np.ndarray, "*members k"]
    level: Float[Array | np.ndarray, "*members 3 k"]
    least: Float[Array | np.ndarray, "*members k"]
    most: Float[Array | np.ndarray, "*members k"]

    @classmethod
    def of(cls, kind: Int[np.ndarray, " k"], labels: Float[np.ndarray, "n k"]) -> "Warps":
        """Of the given kinds; the levels are still to be found."""
        positive = np.min(np.where(labels > 0, labels, np.inf), axis=0)
        reaches_zero = (labels.min(axis=0) <= 0) & np.isfinite(positive)
        added = np.array([_ADDED[int(one)] for one in kind]) * np.where(reaches_zero, positive, 0.0)
        on_scale = warped(kind, labels + added)
        level = np.stack([np.zeros(len(kind)), np.where(kind == ROOT, 0.0, 1.0), np.where(kind == ROOT, 1.0, 0.0)])
        return cls(kind.astype(float), added, level, on_scale.min(axis=0), on_scale.max(axis=0))

    def of_rows(self, labels: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Outputs on their scales, in double precision."""
        return warped(np.asarray(self.kind), labels + np.asarray(self.added))

    def log_slope(self, labels: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Log of the derivative of the scale, by which likelihoods on different scales are compared."""
        kind = np.asarray(self.kind)
        logs = np.log(np.where(kind == STRAIGHT, 1.0, labels + np.asarray(self.added)))
        return -np.where(kind == ROOT, np.log(2.0) + 0.5 * logs, logs)

    def levelled(self, labels: Float[np.ndarray, "n k"], predicted: Float[np.ndarray, "n k"]) -> "Warps":
        """With the levels of rows, from predictions on the warped scale that have not seen their row."""
        values, level = labels + np.asarray(self.added), np.array(self.level)
        for j in np.flatnonzero(np.asarray(self.kind) != STRAIGHT):
            g = np.clip(predicted[:, j], np.asarray(self.least)[j], np.asarray(self.most)[j])
            level[:, j] = _level(g, values[:, j], level[:, j], by_logarithm=bool(np.asarray(self.kind)[j] == LOGARITHM))
        return eqx.tree_at(lambda warps: warps.level, self, level)

    def mean(self, warped: Float[Array, " k"]) -> Float[Array, " k"]:
        """The mean output where the warped one has this mean."""
        return self._mean(jnp, warped)

    def mean_of_rows(self, warped: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """As `mean`, of many rows in double precision."""
        return self._mean(np, warped)

    def _mean(self, numbers: Any, warped: Any) -> Any:
        """By numpy or JAX. The inner choices keep gradients of what is not chosen free of infinities."""
        g = numbers.clip(warped, self.least, self.most)
        value = self.level[0] + self.level[1] * g + self.level[2] * g**2
        exponent = numbers.where(self.kind == LOGARITHM, numbers.minimum(value, 80.0), 0.0)
        curved = numbers.where(self.kind == LOGARITHM, numbers.exp(exponent), numbers.maximum(value, 0.0))
        return numbers.where(self.kind == STRAIGHT, warped, curved - self.added)


def can_be_warped(labels: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, " k"]:
    """Which outputs are never negative. A constant one may be 0 in every row, which has no logarithm."""
    return (labels.min(axis=0) >= 0) & (labels.max(axis=0) > labels.min(axis=0))


def warped(kind: Shaped[np.ndarray, " k"], values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Values on scales of these kinds."""
    roots = np.sqrt(np.where(kind == ROOT, values, 1.0))
    logs = np.log(np.where(kind == LOGARITHM, values, 1.0))
    return np.where(kind == ROOT, roots, np.where(kind == LOGARITHM, logs, values))


def unwarped(kind: Shaped[np.ndarray, " k"], values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The way back from `warped`."""
    exponentials = np.exp(np.where(kind == LOGARITHM, values, 0.0))
    return np.where(kind == ROOT, values**2, np.where(kind == LOGARITHM, exponentials, values))


def _level(
    g: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], start: Float[np.ndarray, " 3"], *, by_logarithm: bool
) -> Float[np.ndarray, " 3"]:
    """Quasi-likelihood of values with a variance proportional to their mean (McCullagh and Nelder 1989, chapter 9)."""
    features = np.stack([np.ones_like(g), g, g**2], axis=1)
    found = start
    least = 1e-3 * values.mean()
    for _ in range(_ROUNDS):
        linear = features @ found
        mean = np.maximum(np.exp(np.minimum(linear, 80.0)) if by_logarithm else linear, least)
        slope = mean if by_logarithm else np.ones_like(mean)
        root = slope / np.sqrt(mean)
        wanted = (linear if by_logarithm else mean) + (values - mean) / slope
        step = np.linalg.lstsq(features * root[:, None], wanted * root, rcond=None)[0] - found
        # No more than a factor of e at a time: the linearisation holds near by only.
        found = (
            found + step * min(1.0, 1.0 / max(float(np.max(np.abs(features @ step))), 1e-12))
            if by_logarithm
            else found + step
        )
    return found
