"""The error of a measurement of single coordinates, as networks of marginal distributions need it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Places in the range of a coordinate at which its error is kept.
_KNOTS = 64
# Share of the error by which it may differ between outputs with the same value of a coordinate.
_ALIKE = 0.02


class ErrorOfValues(eqx.Module):
    """Standard deviation of the normal error of every coordinate, by its own value: straight lines between knots.

    Attributes:
        at: values of the coordinate, ascending; one alone where the error is the same for all values.
        sd: of the error there.
    """

    at: Float[Array, "coordinates knots"]
    sd: Float[Array, "coordinates knots"]

    @classmethod
    def of(
        cls, x: Float[np.ndarray, "n coordinates"], deviations: Float[np.ndarray, "n coordinates"]
    ) -> "ErrorOfValues | None":
        """From outputs and the standard deviations of their errors.

        Returns:
            None where the error of a coordinate depends on other coordinates, too.
        """
        if np.all(deviations == deviations[:1]):
            return cls(*(jnp.asarray(part[0][:, None], jnp.float32) for part in (x, deviations)))
        tables = [_table(*pair) for pair in zip(x.T, deviations.T, strict=True)]
        for value, deviation, (at, sd) in zip(x.T, deviations.T, tables, strict=True):
            if np.sqrt(np.mean((np.interp(value, at, sd) - deviation) ** 2)) > _ALIKE * np.mean(deviation):
                return None
        return cls(*(jnp.asarray(np.stack(part), jnp.float32) for part in zip(*tables, strict=True)))

    def __call__(self, x: Float[Array, "coordinates m"]) -> Float[Array, "coordinates m"]:
        """The standard deviations of errors of values; beyond the outermost knots as there."""
        if self.at.shape[1] == 1:
            return jnp.broadcast_to(self.sd, x.shape)
        return jax.vmap(jnp.interp)(x, self.at, self.sd)


def _table(
    value: Float[np.ndarray, " n"], deviation: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " knots"]]:
    """The deviation at knots, half of them at quantiles of the value and half in equal steps over its range."""
    order = np.argsort(value)
    half = _KNOTS // 2
    quantiles = np.quantile(value, np.linspace(0, 1, half))
    knots = np.sort(np.concatenate([quantiles, np.linspace(value.min(), value.max(), half)]))
    return knots, np.interp(knots, value[order], deviation[order])
