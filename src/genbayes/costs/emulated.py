"""The cost of any distance through an emulator of the outputs: their mean plus scaled residuals of other runs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..distances import Distance
from ..learning.mean_model import MeanModel
from ..learning.reduced_rank import Directions
from .forms import CostForm
from .spread_around_mean import Spread, spread_at, spread_of_members


class EmulatedForm(CostForm):
    """The mean of d(g(theta) + s(theta) r_i, x_o) over residuals r_i of runs: a residual bootstrap (Freedman 1981).

    It holds for any observation, and for any distance, where the noise around the mean g has the same form everywhere
    and only its size s depends on the parameters.

    Attributes:
        distance: fitted, of outputs in the frame.
        mean: of outputs in units of `unit`, or along `directions` of these.
        spread: their variance around it, one for each, or one for all.
        least: what `spread` is not below.
        directions: along which means are regressed where outputs are many.
        unit: of every number of an output.
        range: the least and the largest that each number was, in `unit`: the distance may be defined there alone.
        residuals: in units of the spread's root, of runs that the members had not seen.
        of_logarithms: whether all of this is of the logarithms of outputs, where noise multiplies.
    """

    distance: Distance
    mean: MeanModel
    spread: Spread
    least: Float[Array, " parts"]
    directions: Directions | None
    unit: Float[Array, "*x_shape"]
    range: Float[Array, "2 k"]
    residuals: Float[Array, "m k"]
    of_logarithms: bool = eqx.field(static=True)

    def embed(self, x_o: Float[Array, "*x_shape"], *, gaps: bool = False) -> Float[Array, "*x_shape"]:
        """The observation itself."""
        del gaps
        return x_o

    def member_values(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, " members"]:
        """Each member's cost."""
        return jnp.mean(self.member_distances(theta, embedded), axis=1)

    def value(self, theta: Float[Array, " dim"], embedded: PyTree) -> Float[Array, ""]:
        """The cost by the members' mean prediction."""
        mean = self.mean.mean_of_members(theta)
        return jnp.mean(self._distances(mean, spread_of_members(self.spread, theta, mean), embedded))

    def member_distances(self, theta: Float[Array, " dim"], x_o: Float[Array, "*x_shape"]) -> Float[Array, "members m"]:
        """Those of the outputs that each member emulates, one for each residual."""

        def of_member(mean: MeanModel, spread: Spread) -> Float[Array, " m"]:
            at = mean(theta)
            return self._distances(at, spread_at(spread, theta, at), x_o)

        return eqx.filter_vmap(of_member)(self.mean, self.spread)

    def middle(self, mean: Float[Array, " r"]) -> Float[Array, " k"]:
        """The mean output in units of `unit`, from what is regressed."""
        return mean if self.directions is None else self.directions.centre + self.directions.axes @ mean

    def _distances(
        self, mean: Float[Array, " r"], spread: Float[Array, " parts"], x_o: Float[Array, "*x_shape"]
    ) -> Float[Array, " m"]:
        size = jnp.sqrt(jnp.maximum(spread, self.least))
        outputs = self.middle(mean)[None] + size[None] * self.residuals
        outputs = jnp.clip(outputs, self.range[:1], self.range[1:]).reshape(-1, *self.unit.shape) * self.unit[None]
        outputs = jnp.exp(outputs) if self.of_logarithms else outputs
        return jax.vmap(lambda output: self.distance(output, x_o))(outputs)
