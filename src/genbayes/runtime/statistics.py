"""Statistics that are said in many places."""

from collections.abc import Sequence

import numpy as np


def mean_and_error(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Return the mean of independent values and its standard error, both of the finite ones.

    Args:
        values: (n,), in any units; of NaN and infinities nothing is counted.

    Returns:
        Mean, NaN without a finite value; standard error, NaN with fewer than two.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    mean = float(numbers.mean()) if len(numbers) else float("nan")
    error = float(numbers.std(ddof=1) / np.sqrt(len(numbers))) if len(numbers) > 1 else float("nan")
    return mean, error
