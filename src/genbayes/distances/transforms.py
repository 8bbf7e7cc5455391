"""Functions that are applied to every number of outputs and observations before they are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .coordinate_names import listed

TransformName = Literal["log1p", "sqrt", "asinh"]


@dataclass(frozen=True)
class Transform:
    """An increasing function of one number; where it is not defined it gives NaN.

    Attributes:
        name: of the function; None for the identity.
        of_numpy: the function, in double precision.
        of_jax: the same for traced arrays.
        undefined: which values it is not defined for; None where it takes any number.
        domain: what values have to be, in words.
    """

    name: TransformName | None
    of_numpy: Callable[[np.ndarray], np.ndarray]
    of_jax: Callable[[Array], Array]
    undefined: Callable[[np.ndarray], np.ndarray] | None = None
    domain: str = "numbers"

    def __call__(self, x: np.ndarray) -> Float[np.ndarray, "..."]:
        """The function of every number, in double precision."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.of_numpy(np.asarray(x, np.float64))

    def check(
        self,
        x: np.ndarray,
        what: str,
        rows: Int[np.ndarray, " n"] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        """Checks that the function is defined for every number of outputs or observations (n, *x_shape).

        Args:
            x: the outputs; NaN passes, for that is another mistake.
            what: the outputs are, in the message.
            rows: their numbers in the message; counted from 0 if not given.
            names: of the coordinates, for the message.

        Raises:
            ValueError: it is not; the message names coordinates, the number of rows and the first one.
        """
        if self.undefined is None:
            return
        bad = self.undefined(np.asarray(x))
        if not bad.any():
            return
        which = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
        value = float(np.asarray(x)[which[0]][bad[which[0]]][0])
        first = int(which[0] if rows is None else rows[which[0]])
        found = f"{len(which)} of {len(bad)} rows, the first is row {first}, with {value:.6g}"
        if len(bad) == 1:
            found = f"the first value is {value:.6g}"
        raise ValueError(
            f"{what} must be {self.domain} for transform={self.name!r}, which is not so at the "
            f"{listed(np.any(bad, axis=0), names)} ({found}). Take transform='asinh', which is defined "
            "for all numbers, or correct the values (the rounding error of a number that cannot be negative: clip it "
            "at 0 in the simulator)."
        )


IDENTITY = Transform(None, lambda x: x, lambda x: x)
TRANSFORMS: dict[TransformName, Transform] = {
    "log1p": Transform("log1p", np.log1p, jnp.log1p, lambda x: x <= -1, "greater than -1"),
    "sqrt": Transform("sqrt", np.sqrt, jnp.sqrt, lambda x: x < 0, "0 or more"),
    "asinh": Transform("asinh", np.arcsinh, jnp.arcsinh),
}


def given_transform(name: TransformName | None) -> TransformName | None:
    """The name of a transform, checked.

    Raises:
        ValueError: there is none of this name.
    """
    if name is not None and name not in get_args(TransformName):
        raise ValueError(f"transform must be one of {', '.join(map(repr, TRANSFORMS))}, or None, got {name!r}.")
    return name


def transform_of(name: TransformName | None) -> Transform:
    """The transform of a name; that of None leaves outputs as they are."""
    return IDENTITY if name is None else TRANSFORMS[name]
