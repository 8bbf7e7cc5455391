"""Variances as functions of the parameters: log v(theta) = polynomial, by the gamma deviance of squared residuals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .normal_equations import NormalEquations, Spectrum

# Rounds of reweighting; more change nothing that held-out rows see.
_ROUNDS = 4
# Share of the rows that a coefficient of a variance function takes: squared residuals scatter more than outputs.
ROWS_PER_COEFFICIENT = 25
# E[log of a squared standard normal] is -1.27.
_LOG_CHI_SQUARE = -1.27


class LogLinear(NamedTuple):
    """exp(intercept + slopes . features), with the number of leading features that it uses."""

    intercept: float
    slopes: Float[np.ndarray, " size"]

    def __call__(self, features: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """The value at every row."""
        return np.exp(np.clip(self.linear(features), -600.0, 600.0))

    def linear(self, features: Float[np.ndarray, "n all"]) -> Float[np.ndarray, " n"]:
        """Its logarithm."""
        return self.intercept + features[:, : len(self.slopes)] @ self.slopes


class VarianceRegression(NamedTuple):
    """Features of rows, with what all regressions of variances on them share: rows never have weights.

    Attributes:
        columns: features of the rows, in the order of their degrees.
        sizes: numbers of features that may be used.
        equations: of the features.
        spectra: by the number of features.
    """

    columns: Float[np.ndarray, "n size"]
    sizes: tuple[int, ...]
    equations: NormalEquations
    spectra: Mapping[int, Spectrum]

    @classmethod
    def of(cls, features: Float[np.ndarray, "n all"], sizes: Mapping[int, int]) -> "VarianceRegression":
        """For as many features as the rows allow.

        Args:
            features: of all rows, in the order of their degrees.
            sizes: number of features by degree.
        """
        most = len(features) // ROWS_PER_COEFFICIENT
        # A line of all parameters even so: to leave some of them out would be to say that they change nothing.
        allowed = tuple(size for degree, size in sizes.items() if degree == 1 or size <= most)
        columns = features[:, : max(allowed)]
        equations = NormalEquations.of(columns, np.zeros((len(columns), 1)))
        return cls(columns, allowed, equations, {size: equations.spectrum(size) for size in allowed})

    def fit(self, squares: Float[np.ndarray, "n k"]) -> tuple[LogLinear, ...]:
        """The mean of squared residuals as exp(polynomial), by iteratively reweighted least squares.

        Args:
            squares: squared residuals of rows, of each output by itself.
        """
        values = np.log(squares + square_floor(squares)) - _LOG_CHI_SQUARE
        intercept, slopes, size = self._solved(values)
        for _ in range(_ROUNDS):
            linear = intercept + self.columns @ slopes.T
            values = linear + np.clip(squares / _exp(linear) - 1.0, -1.0, 8.0)
            intercept, slopes, size = self._solved(values)
            # Least squares of logarithms leaves the level to the clipping: the mean of the squares is to be right.
            level = np.mean(squares / _exp(intercept + self.columns @ slopes.T), axis=0)
            intercept = intercept + np.log(np.maximum(level, 1e-300))
        return tuple(
            LogLinear(float(constant), own[:used]) for constant, own, used in zip(intercept, slopes, size, strict=True)
        )

    def _solved(
        self, values: Float[np.ndarray, "n k"]
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k size"], Int[np.ndarray, " k"]]:
        return self.equations.of_other_labels(self.columns, values).solved_best(self.sizes, self.spectra)


def fit_variance(
    features: Float[np.ndarray, "n all"], sizes: Mapping[int, int], squares: Float[np.ndarray, " n"]
) -> LogLinear:
    """The variance of one output, see `VarianceRegression`."""
    return VarianceRegression.of(features, sizes).fit(squares[:, None])[0]


def square_floor(squares: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "..."]:
    """So small a square is a coincidence, and its logarithm a row of great leverage."""
    return 1e-12 * np.median(squares, axis=0) + 1e-24 * squares.mean(axis=0) + 1e-300


def _exp(linear: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    return np.exp(np.clip(linear, -600.0, 600.0))
