"""Predicted costs against the distances of new runs, in numbers."""

from typing import Any, NamedTuple

import numpy as np

from ..runtime.statistics import mean_and_error


class Accuracy(NamedTuple):
    """Predicted cost against re-simulated distances, in numbers."""

    centres: np.ndarray
    means: np.ndarray
    errors: np.ndarray
    correlation: float
    relative: float
    relative_error: float


def accuracy(predicted: Any, simulated: Any, n_bins: int = 10) -> Accuracy:
    """Compares predicted costs (m,) with the distances (m,) of one run each.

    Returns:
        Mean prediction and mean distance with its standard error in bins of equally many runs; Pearson's correlation;
        the relative difference of the mean prediction from the mean distance, with its standard error.

    Raises:
        ValueError: If the two differ in shape, or fewer than two pairs are finite.
    """
    predicted, simulated = np.asarray(predicted, float), np.asarray(simulated, float)
    if predicted.ndim != 1 or predicted.shape != simulated.shape:
        raise ValueError(f"predicted and simulated have shapes {predicted.shape}, {simulated.shape}; expected one (m,)")
    ok = np.isfinite(predicted) & np.isfinite(simulated)
    if ok.sum() < 2:
        raise ValueError(
            f"only {ok.sum()} of {len(ok)} runs have a finite predicted and simulated cost; need 2 or more"
        )
    predicted, simulated = predicted[ok], simulated[ok]
    bins = np.array_split(np.argsort(predicted), max(1, min(n_bins, len(predicted) // 5)))
    errors = [mean_and_error(simulated[rows])[1] for rows in bins]
    varies = predicted.std() > 0 and simulated.std() > 0
    level = simulated.mean() if simulated.mean() != 0 else np.nan
    return Accuracy(
        np.array([predicted[rows].mean() for rows in bins]),
        np.array([simulated[rows].mean() for rows in bins]),
        np.array(errors),
        float(np.corrcoef(predicted, simulated)[0, 1]) if varies else float("nan"),
        float((predicted.mean() - simulated.mean()) / level),
        float(mean_and_error(predicted - simulated)[1] / abs(level)),
    )
