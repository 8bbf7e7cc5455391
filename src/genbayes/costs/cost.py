"""`Cost`: the expected distance E[d(x, x_o) | theta] as a function of parameters and observations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..distances import AdditiveDistance, Distance, UserDistance
from ..distances.additive import CoordinateDistance
from ..distances.base import class_names
from ..distances.gaps import has_gaps
from ..distances.spread import OutputSpread
from ..learning.success import SuccessModel, SuccessProbability
from ..learning.training import FitRecord
from ..runtime.compiling import on_device
from ..runtime.named_values import Names
from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.units import unit_label
from .checked_inputs import Conditions, Numbers, Observed, checked_conditions, checked_observation
from .evaluated import embed_each, embed_one, values_of_rows
from .failing_runs import failures_told, penalty_by
from .forms import CostForm, FunctionForm, MarginalForm, PenalisedForm
from .frame import Frame
from .held_out import HeldOutRows
from .known_parameters import held_names, order_of_networks, with_known
from .measured import MeasurementError
from .placed import PlacedForm, PlacedSuccess, Places


@dataclass(frozen=True, eq=False, repr=False)
class Cost:
    """E[d(x, x_o) | theta] in the units of the distance; call it as `cost(theta, x_o)`.

    Made by `fit_cost`, by `load`, or from a known function by `Cost.exact`.

    Attributes:
        form: the networks (a JAX pytree) of E[d | theta, success], which read outputs in `frame`.
        distance: with all that it took from the simulations.
        names: of the parameters, in the order of theta's coordinates.
        x_shape: shape of one output.
        fit: what happened in training, one record per network.
        settings: how it was fitted (seed, simulations, configuration); plain values, stored with the cost.
        condition_names: of the known conditions that the cost takes beside theta; none for most simulators.
        held_out: simulations that members were not trained on, by which a posterior judges the cost; None where there
            are none.
        success: the probability that a run succeeds, by which posteriors multiply their prior unless there is a
            penalty; None where no run failed, or failures are to be ignored.
        frame: place and units of outputs in which single precision holds what varies in them.
        spread: of the outputs of the prior, in the frame, from which scales are taken and judged; None for distances
            that take none, for exact costs, and for those of files of earlier versions.
        penalty: the distance that a failing run counts as; None where the cost is that of runs that succeed.
        whole: the cost of all parameters, where some of them are held at values and therefore stand among the known
            conditions (see `known_parameters`); None for most costs.
        measurement_error: that an observation has and the simulator has not; None where there is none.
    """

    form: CostForm
    distance: Distance
    names: tuple[str, ...]
    x_shape: tuple[int, ...]
    fit: tuple[FitRecord, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    condition_names: tuple[str, ...] = ()
    held_out: HeldOutRows | None = None
    success: SuccessModel | None = None
    frame: Frame = field(default_factory=Frame.none)
    spread: OutputSpread | None = None
    penalty: float | None = None
    whole: "Cost | None" = None
    measurement_error: MeasurementError | None = None

    @classmethod
    def exact(
        cls,
        function: Callable[[Array, Array], Array],
        *,
        names: Sequence[str],
        x_shape: Sequence[int],
        units: str,
        name: str = "exact",
    ) -> "Cost":
        """A cost given by `function(theta, x_o) -> scalar` of one parameter and one observation (jax.numpy).

        Args:
            function: the expected distance; what is sampled is as right as this is.
            names: of the parameters.
            x_shape: shape of one output.
            units: of the distance.
            name: of the distance.
        """
        distance = UserDistance(_no_distance, name=name, units=units)
        return cls(FunctionForm(function), distance, tuple(names), tuple(x_shape))

    def __repr__(self) -> str:
        kind = type(self.form).__name__
        conditions = f", conditions {', '.join(self.condition_names)}" if self.condition_names else ""
        parameters = ", ".join(self.names)
        return f"Cost({kind} of {self.distance.name}, parameters {parameters}{conditions}, outputs {self.x_shape})"

    def _repr_html_(self) -> str:
        properties = {
            "distance": repr(self.distance),
            "units": unit_label(self.distance.units),
            "learned as": type(self.form).__name__,
            "parameters": ", ".join(self.names),
            "conditions": ", ".join(self.condition_names) or "none",
            "output": str(self.x_shape) if self.outputs is None else self.outputs.in_words,
            "failing runs": failures_told(self),
            "measurement error": "none" if self.measurement_error is None else self.measurement_error.told,
            "simulations": str(self.settings.get("simulations", "none")),
        }
        if "rows_in_memory" in self.settings:
            properties["simulations"] += f", of which {self.settings['rows_in_memory']} settled all choices"
        return html_properties("Cost", properties, self.outcome.messages)

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return len(self.names)

    @cached_property
    def expectation(self) -> CostForm:
        """What a call and every sampler evaluates: `of_success`, or with a penalty the expectation over all runs."""
        success = self.placed_success
        if self.penalty is None or success is None:
            return self.of_success
        return PenalisedForm(self.of_success, success, jnp.asarray(self.penalty, jnp.float32))

    @property
    def of_success(self) -> CostForm:
        """The cost of runs that succeed: `form`, which takes its inputs in the order of names and conditions."""
        return self.form if self.whole is None else PlacedForm(self.form, self._places)

    @property
    def placed_success(self) -> SuccessProbability | None:
        """`success`, which takes its inputs in the order of names and conditions."""
        return self.success if self.success is None or self.whole is None else PlacedSuccess(self.success, self._places)

    @property
    def _places(self) -> Places:
        return Places(order_of_networks(self), jnp.zeros(0))

    def in_order(self, inputs: Float[Array, "n own"]) -> Float[Array, "n own"]:
        """Rows of parameters and conditions in the order in which `form` and the simulator themselves take them."""
        return inputs if self.whole is None else inputs[:, jnp.asarray(order_of_networks(self))]

    @property
    def success_of_prior(self) -> SuccessProbability | None:
        """The probability of success by which posteriors multiply their prior; None with a penalty."""
        return self.placed_success if self.penalty is None else None

    @cached_property
    def outputs(self) -> Names | None:
        """Names of the outputs' values, None where the simulator gave none."""
        return Names.read(self.settings.get("outputs"))

    @cached_property
    def output_names(self) -> tuple[str, ...] | None:
        """One name for each number of an output, None where the simulator gave none."""
        return None if self.outputs is None else self.outputs.coordinates

    @property
    def reads_gaps(self) -> bool:
        """Whether an observation may have missing values (NaN): the cost is then that of what was observed."""
        return self.distance.reads_gaps and self.form.reads_gaps

    @property
    def outcome(self) -> Outcome:
        """What went wrong in training, and what speaks against the scale."""
        return Outcome.joined([*(record.outcome for record in self.fit), self.scale_outcome])

    @property
    def scale_outcome(self) -> Outcome:
        """Whether a few runs set a scale that the distance took from the simulations."""
        used = self._scaled_by_prior()
        return Outcome() if used is None or self.spread is None else self.spread.few_runs(used, self.output_names)

    def judge_scale(self, x_o: Float[np.ndarray, "*x_shape"]) -> Outcome:
        """Whether such a scale is far above all that matters near an observation (checked, in data units)."""
        used = self._scaled_by_prior()
        if used is None or self.spread is None:
            return Outcome()
        return self.spread.dwarfs(self.frame(x_o), used, self.output_names)

    def _scaled_by_prior(self) -> Bool[np.ndarray, "*x_shape"] | None:
        """Coordinates whose scale is their standard deviation over the prior; None where it is another one."""
        if isinstance(self.distance, CoordinateDistance) and self.distance.scale_rule == "prior_predictive":
            return self.distance.used(self.x_shape)
        return None

    def __call__(self, theta: Numbers, x: Observed, conditions: Conditions = None) -> Float[Array, "..."]:
        """The cost of parameters and observations; differentiable in both.

        Args:
            theta: (..., dim).
            x: (..., *x_shape); leading axes broadcast against theta's.
            conditions: known conditions (..., c) where the cost takes them, or a mapping from name to value; leading
                axes broadcast against theta's.

        Raises:
            ValueError: theta's last axis, x's last axes or the conditions are not those of the simulations, or an
                integer is no whole number.
        """
        return values_of_rows(self, theta, x, conditions, members=False)

    def members(self, theta: Numbers, x: Observed, conditions: Conditions = None) -> Float[Array, "... members"]:
        """The cost by each member of the ensemble, of shape (..., members); their spread shows network error."""
        return values_of_rows(self, theta, x, conditions, members=True)

    def log_success(self, theta: Numbers, conditions: Conditions = None) -> Float[Array, "..."]:
        """Log probability that a run at parameters (..., dim) succeeds; 0 where no run has failed.

        Args:
            theta: (..., dim).
            conditions: as for a call.
        """
        theta = jnp.asarray(theta, jnp.float32)
        success = self.placed_success
        if success is None:
            return jnp.zeros(theta.shape[:-1])
        known = self.check_conditions(conditions)
        batch = jnp.broadcast_shapes(theta.shape[:-1], known.shape[:-1])
        parts = [jnp.broadcast_to(part, (*batch, part.shape[-1])) for part in (theta, known)]
        inputs = jnp.concatenate(parts, axis=-1)
        return jax.vmap(success.log_probability)(inputs.reshape(-1, inputs.shape[-1])).reshape(batch)

    def log_prior_factor(self, theta: Numbers, conditions: Conditions = None) -> Float[Array, "..."]:
        """Log of the factor by which posteriors multiply their prior: `log_success`, or 0 with a penalty."""
        if self.penalty is not None:
            return jnp.zeros(jnp.asarray(theta).shape[:-1])
        return self.log_success(theta, conditions)

    def with_distance(self, distance: Distance, *, failures: float | None = None) -> "Cost":
        """The cost by another distance, from the same networks: nothing is simulated or fitted.

        Args:
            distance: any additive distance of the same transform; "prior_predictive" and "median" scales are those of
                the simulations that the cost was fitted on.
            failures: what a failing run counts as, in the units of THIS distance; needed where the cost has a penalty,
                and refused where it has none.

        Raises:
            TypeError: distance is no additive distance; its expectation needs more than the distribution of single
                coordinates.
            ValueError: the cost was not fitted as distributions of coordinates, or for another transform; scale or
                weights do not fit the outputs; or failures is missing, or given where the cost has no penalty.

        Example:
            >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(scale), method="marginal")
            >>> robust = cost.with_distance(gb.distances.HuberError(1.0, scale, weights=[1.0, 1.0, 0.5]))
        """
        if not isinstance(distance, AdditiveDistance):
            raise TypeError(
                f"distance must be an additive distance ({class_names(AdditiveDistance)}), got "
                f"{getattr(distance, 'name', type(distance).__name__)}: the cost holds the distribution of each output "
                "coordinate by itself. Fit another cost for it: fit_cost(simulations, distance)."
            )
        if not isinstance(self.form, MarginalForm):
            raise ValueError(  # noqa: TRY004 (how the cost was fitted, not what was passed)
                f"the cost is a {type(self.form).__name__}, which was fitted for the distance {self.distance.name} "
                'alone. Fit it as fit_cost(simulations, distance, method="marginal") (in problem.toml: [fit] method = '
                '"marginal"), and exchange the distance of that one.'
            )
        fitted = self.frame.transform.name
        if distance.transform != fitted:
            raise ValueError(
                f"the cost holds distributions of outputs with transform={fitted!r}, and the distance has transform="
                f"{distance.transform!r}: give it transform={fitted!r}, or fit another cost, fit_cost(simulations, "
                'distance, method="marginal").'
            )
        if self.whole is not None:
            return with_known(self.whole.with_distance(distance, failures=failures), held_names(self))
        distance = distance.with_outputs(self.outputs)
        penalty = penalty_by(self, distance, failures)
        # Files of earlier versions hold the standard deviations alone.
        spread = OutputSpread.of_deviation(np.asarray(self.form.spread)) if self.spread is None else self.spread
        framed = self.frame.moved(distance).with_spread(spread)
        # The stored text of a problem file describes the old distance, and so does the observation of its scale.
        gone = ("distance_settings", "scale_observation")
        settings = {key: value for key, value in self.settings.items() if key not in gone}
        if penalty is not None:
            settings["failures"] = penalty
        form = MarginalForm.of(self.form.distribution, self.form.spread, framed, self.form.error)
        known = self.frame.moved_back(framed)
        return replace(self, form=form, distance=known, settings=settings, penalty=penalty)

    def embed(self, x_o: Observed) -> Any:
        """What the networks need to know of one observation, after checking its shape and values."""
        checked = self.check_observation(x_o)
        return embed_one(self.expectation, on_device(self.frame(checked)), has_gaps(checked))

    def embed_all(self, x_o: Float[np.ndarray, "m *x_shape"], *, gaps: bool) -> Any:
        """The same of many checked observations; every array has them as its leading axis.

        Args:
            x_o: observations.
            gaps: whether any has missing values, these or others that are to share one program with them.
        """
        return embed_each(self.expectation, on_device(self.frame(x_o)), gaps)

    def check_observation(self, x_o: Observed) -> Float[np.ndarray, "..."]:
        """One observation as an array in double precision, or ValueError that says what is wrong with it.

        NaN is a missing value where the cost reads gaps; missing trials of a set are left out of it.
        """
        return checked_observation(self, x_o)

    def check_conditions(self, conditions: Conditions) -> Float[Array, "... c"]:
        """Conditions as an array, from a mapping of names to values or from an array (..., c).

        Raises:
            ValueError: conditions are missing, too many, of other names, or between the values of an integer.
        """
        return checked_conditions(self, conditions)


def _no_distance(x: Array, x_target: Array) -> Array:
    raise ValueError("an exact cost knows the expected distance only; pass the distance itself where one is needed.")
