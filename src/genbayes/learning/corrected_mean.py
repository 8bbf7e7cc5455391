"""A regression of means that corrects another one: few runs of a dear simulator on top of many of a cheap one."""

from jaxtyping import Array, Float

from .mean_model import MeanModel


class CorrectedMean(MeanModel):
    """E[dear | theta] = E[cheap | theta] + E[dear - cheap | theta] (Heinrich 2001; Giles 2008).

    Attributes:
        base: regression of the cheap simulator's outputs.
        correction: regression of the differences of paired runs.
    """

    base: MeanModel
    correction: MeanModel

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.base.outputs

    @property
    def network_share(self) -> float:
        """That of the correction: it has the fewer rows, and nearly all of the error."""
        return self.correction.network_share

    @property
    def is_multiplicative(self) -> bool:
        """Whether either part is."""
        return self.base.is_multiplicative or self.correction.is_multiplicative

    def __call__(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The prediction at one parameter."""
        return self.base(theta) + self.correction(theta)

    def mean_of_members(self, theta: Float[Array, " dim"]) -> Float[Array, " k"]:
        """The mean prediction at one parameter, of stacked members."""
        return self.base.mean_of_members(theta) + self.correction.mean_of_members(theta)
