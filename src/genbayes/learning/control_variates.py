"""How much of a known deviation to take off labels so that least noise is left of them (control variates)."""

import numpy as np
from jaxtyping import Float

from .layers import Standardiser
from .polynomial import features_to

# Coefficients of the polynomial that is taken off first: at most one for so many rows.
_ROWS_PER_COEFFICIENT = 4
_MOST_DEGREE = 2
# Noise of dear and cheap runs that moves together has a factor between 0 and, where the dear one has more of it, this.
_MOST = 2.0


def control_factors(
    standardise: Standardiser,
    theta: Float[np.ndarray, "n dim"],
    labels: Float[np.ndarray, "n k"],
    deviations: Float[np.ndarray, "n k"],
) -> Float[np.ndarray, " k"]:
    """The factor a_j for which labels_j - a_j deviations_j scatter least around a smooth function of the parameters.

    Deviations have the mean 0 at every parameter, so that any factor leaves the labels' mean as it is (Lavenberg and
    Welch 1981).

    Args:
        standardise: of parameters.
        theta: parameters.
        labels: whose mean is to be regressed.
        deviations: of another quantity from its known mean.
    """
    for degree in range(_MOST_DEGREE, 0, -1):
        _, _, features = features_to(standardise.of_rows(theta), degree, standardise.groups)
        if features.shape[1] * _ROWS_PER_COEFFICIENT <= len(theta):
            break
    basis = np.linalg.qr(np.insert(features, 0, 1.0, axis=1))[0]
    labels, deviations = (part - basis @ (basis.T @ part) for part in (labels, deviations))
    squares = np.sum(deviations**2, axis=0)
    together = np.sum(labels * deviations, axis=0)
    return np.clip(together / np.maximum(squares, 1e-300), 0.0, _MOST)
