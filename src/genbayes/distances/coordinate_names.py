"""How messages name coordinates of an output."""

import numpy as np
from jaxtyping import Bool

_MOST_NAMED = 5


def listed(which: Bool[np.ndarray, "*x_shape"]) -> str:
    """The marked coordinates by their indices, which count from 0; of many, the first and their number."""
    indices = np.argwhere(which).tolist()
    # An output of one axis has an index of one number.
    names = [str(index[0]) if len(index) == 1 else str(tuple(index)) for index in indices[:_MOST_NAMED]]
    more = f", ... ({len(indices)} of {which.size})" if len(indices) > _MOST_NAMED else ""
    return f"output coordinate{'s' * (len(indices) > 1)} {', '.join(names)}{more}"
