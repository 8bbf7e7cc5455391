"""What an error of measurement adds to the rows that a cost is fitted on: for each structure of a distance its own."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..distances import Distance, HilbertDistance
from ..distances.additive import CoordinateDistance
from ..distances.base import CostKind
from .error_of_values import ErrorOfValues
from .frame import Frame
from .measured import MeasurementError

# Gauss-Hermite nodes of a mean over the error of one number, of a function as smooth as a logarithm.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


class RowErrors(NamedTuple):
    """At most one of the last three is there; none where errors were added to the outputs.

    Attributes:
        x: outputs without the error, in the frame, or their means over it; None where outputs stay as they are.
        variance: of every number of an output in the frame, for distances that are linear there.
        deviations: of every number of an output in the frame, for other distances with a feature map.
        of_values: of every coordinate, for distances that are learned by their distributions.
    """

    x: Float[np.ndarray, "n *x_shape"] | None = None
    variance: Float[np.ndarray, "n coordinates"] | None = None
    deviations: Float[np.ndarray, "n *x_shape"] | None = None
    of_values: ErrorOfValues | None = None


NO_ERRORS = RowErrors()


def row_errors(
    error: MeasurementError,
    exact: Float[np.ndarray, "n *x_shape"],
    frame: Frame,
    distance: Distance,
    kind: CostKind,
    *,
    corrected: bool,
) -> RowErrors:
    """The error in the form in which its expectation is known.

    Args:
        error: of the measurement.
        exact: outputs without it, in data units.
        frame: of the outputs that networks read.
        distance: in the frame, fitted.
        kind: of the cost.
        corrected: whether the cost of a cheaper simulator is corrected, for which only a variance is of use.
    """
    sd = error.deviations(exact)
    if kind == "features" and isinstance(distance, HilbertDistance) and distance.is_linear:
        mean, variance = _transformed(exact, sd, frame)
        return RowErrors(x=mean, variance=variance.reshape(len(exact), -1))
    in_frame = sd / frame.unit
    if kind == "features" and isinstance(distance, HilbertDistance) and not corrected:
        return RowErrors(x=frame(exact), deviations=in_frame)
    if kind == "marginal" and isinstance(distance, CoordinateDistance) and frame.transform.name is None:
        x = frame(exact)
        of_values = ErrorOfValues.of(x.reshape(len(x), -1), in_frame.reshape(len(x), -1))
        return NO_ERRORS if of_values is None else RowErrors(x=x, of_values=of_values)
    return NO_ERRORS


def _transformed(
    x: Float[np.ndarray, "n *x_shape"], sd: Float[np.ndarray, "n *x_shape"], frame: Frame
) -> tuple[Float[np.ndarray, "n *x_shape"], Float[np.ndarray, "n *x_shape"]]:
    """Mean and variance of measured outputs in the frame, over their errors."""
    if frame.transform.name is None:
        return frame(x), (sd / frame.unit) ** 2
    mean, square = np.zeros(x.shape), np.zeros(x.shape)
    centre = frame.transform(x)
    for node, weight in zip(_NODES, _WEIGHTS / _WEIGHTS.sum(), strict=True):
        # The outermost nodes, of no weight, may lie where the transform is not defined.
        away = np.nan_to_num(frame.transform(x + sd * node) - centre)
        mean, square = mean + weight * away, square + weight * away**2
    mean_in_frame = ((centre + mean - frame.location) / frame.unit).astype(np.float32)
    return mean_in_frame, (square - mean**2) / frame.unit**2
