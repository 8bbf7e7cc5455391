"""What can be learned of simulations whose outputs are sets of unequal size, and a refusal of all else."""

import numpy as np
from jaxtyping import Float

from ..distances import Distance
from ..distances.base import class_names
from ..distances.sets import KernelDistance
from ..distances.unequal_sets import trials_present
from ..learning.embeddings import Embedding, SetEmbedding


def check_unequal_sets(
    distance: Distance, reader: type[Embedding] | None, x: Float[np.ndarray, "n trials trial_dim"]
) -> None:
    """Looks whether distance and network leave out the trials of NaN that sets are filled up with.

    Args:
        distance: to be fitted.
        reader: of the general network, None for a feature cost.
        x: outputs that succeeded.

    Raises:
        ValueError: they do not, or sets are too small for the distance.
    """
    if not distance.reads_unequal_sets:
        raise ValueError(
            f"the simulations are sets of unequal size, and the distance {distance.name} compares outputs of one size: "
            f"take one of {class_names(reads_unequal_sets=True)}, or one of your own whose class says "
            "reads_unequal_sets = True and leaves trials of NaN out; or let the simulator return summaries of a set."
        )
    if reader is not None and not issubclass(reader, SetEmbedding):
        raise ValueError(
            "the simulations are sets of unequal size, which of the embeddings the set embedding reads alone: write "
            "embedding='set'."
        )
    if isinstance(distance, KernelDistance) and distance.estimator == "unbiased":
        least = int(trials_present(x).sum(axis=1).min())
        if least < 2:
            raise ValueError(
                f"the unbiased {distance.name} needs at least 2 trials in each set, and "
                f"{int(np.sum(trials_present(x).sum(axis=1) < 2))} simulations have a single one; use "
                "estimator='biased'."
            )
