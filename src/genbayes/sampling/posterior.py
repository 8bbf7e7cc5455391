"""`GibbsPosterior`: prior + cost + observation + beta -> unnormalised log density -> draws."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..costs.cost import Conditions, Cost, Numbers, Observed
from ..costs.known_parameters import held_names, with_known
from ..distances.gaps import gaps_told
from ..observations import Observation
from ..priors.prior import Prior
from ..runtime.counts import evenly_spaced
from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.units import unit_of_beta
from .draws import Draws
from .given import checked_beta, checked_conditions, judge_conditions, judge_prior
from .held_out_errors import HeldOutErrors, by_members, held_out_errors, jackknife_factor
from .held_values import held_columns
from .left_open import LeftOpen
from .levels import check_levels, judge_known_levels, judge_levels
from .log_density_error import LogDensityError, log_density_error, weights_within_reach
from .missed_structure import missed_nats, missed_structure
from .running import run_sampler
from .sampler import Sampler
from .target import Target

if TYPE_CHECKING:
    from ..explorer.alone import ExplorerPage

# Draws by which it is judged what the members leave open.
_MOST_JUDGED = 1000


class GibbsPosterior:
    """p(theta | x_o) proportional to exp(-beta cost(theta, x_o)) prior(theta) (Bissiri, Holmes, Walker 2016).

    Another observation or beta is another `GibbsPosterior` of the same cost; nothing is simulated, trained or compiled
    for it.

    Args:
        prior: over the parameters that the cost knows, in its order.
        cost: from `fit_cost`, `load` or `Cost.exact`.
        x_o: the observation, in the form of one output of the simulator. NaN is a missing value, where the cost reads
            gaps: the cost is then that of the values that were observed, and needs no new fit.
        beta: inverse temperature, in 1 / units of the distance; there is no right value, and no default.
        conditions: known conditions of the observation (a mapping from name to value), where the simulator takes them.

    Attributes:
        observation: what `read_observation` returned, where x_o is that; None for numbers.

    Raises:
        ValueError: x_o has another shape, holds infinities, or NaN where the cost reads no gaps; beta is not a positive
            number; the prior's parameters are not the cost's.

    Example:
        >>> posterior = gb.GibbsPosterior(prior, cost, x_o, beta=100.0)
        >>> draws = posterior.sample(4000, seed=0)
    """

    def __init__(
        self, prior: Prior, cost: Cost, x_o: Observed, beta: float | None = None, *, conditions: Conditions = None
    ):
        if not isinstance(prior, Prior):
            raise TypeError(f"prior must be a genbayes.Prior, got {type(prior).__name__}.")
        if not isinstance(cost, Cost):
            raise TypeError(
                f"cost must be a genbayes.Cost (from fit_cost, load or Cost.exact), got {type(cost).__name__}."
            )
        if prior.names != cost.names:
            raise ValueError(
                f"the prior has the parameters ({', '.join(prior.names)}), but the cost was fitted for "
                f"({', '.join(cost.names)}): use the prior of the simulations, in the same order."
            )
        check_levels(prior, cost)
        self.prior = prior
        self.cost = cost
        self.beta = checked_beta(beta, cost.distance.units)
        self._x = cost.check_observation(x_o)
        # Its dates and names are those by which checks and reports call its values.
        whole = isinstance(x_o, Observation) and x_o.groups is None and x_o.values.shape == self._x.shape
        self.observation = cast("Observation", x_o) if whole else None
        self._conditions = checked_conditions(cost, conditions)
        self.scale_outcome = cost.judge_scale(self._x)
        known_levels = judge_known_levels(cost, np.asarray(self._conditions)[None])
        self.known_outcome = Outcome.joined(
            [judge_prior(prior, cost), judge_conditions(cost, self._conditions), known_levels]
        )
        beta_now = jnp.asarray(self.beta, jnp.float32)
        embedded = cost.embed(self._x)
        success = cost.success_of_prior
        self._target = Target(cost.expectation, embedded, self._conditions, beta_now, prior, success)

    def __repr__(self) -> str:
        known = "".join(f", {name} {value:g}" for name, value in self.conditions.items())
        shape, parameters = self.observation_told, ", ".join(self.prior.names)
        return f"GibbsPosterior(parameters {parameters}, observation {shape}{known}, beta {self.beta:g})"

    def _repr_html_(self) -> str:
        properties = {
            "parameters": ", ".join(self.prior.names),
            "observation": self.observation_told,
            "conditions": ", ".join(f"{name} = {value:g}" for name, value in self.conditions.items()) or "none",
            "beta": f"{self.beta:g}, {unit_of_beta(self.cost.distance.units)}",
            "distance": repr(self.cost.distance),
        }
        return html_properties("Gibbs posterior", properties, self.outcome.messages)

    @property
    def x_o(self) -> np.ndarray:
        """The observation."""
        return self._x

    @property
    def observation_told(self) -> str:
        """The observation's shape and what is missing in it, by dates and names where they are known."""
        if self.observation is None or not self.observation.n_missing:
            return f"{self.x_o.shape}{gaps_told(self.x_o, self.cost.output_names)}"
        missing = f"{self.observation.n_missing} of {self.x_o.size} values missing"
        return f"{self.x_o.shape}, {missing} ({self.observation.missing_places})"

    @functools.cached_property
    def held_out_errors(self) -> HeldOutErrors | None:
        """Errors of the cost at simulations that it has not seen; None for a cost without such rows."""
        conditions = np.asarray(self._conditions)
        return held_out_errors(self.cost, self._x, self._target.embedded, conditions, self.prior.dim, self.beta)

    @functools.cached_property
    def log_density_error(self) -> LogDensityError | None:
        """How wrong the log density is over the posterior, by `held_out_errors`; takes no new run. None without any."""
        errors = self.held_out_errors
        if errors is None:
            return None
        z = np.asarray(self.prior.to_unconstrained(errors.theta), np.float64)
        jackknife = jackknife_factor(self.cost, errors.members.shape[1])
        integers = self.prior.unconstrained_integers
        found = log_density_error(
            z, errors.cost, errors.residual, errors.members, self.beta, jackknife=jackknife, integers=integers
        )
        if not 0 < found.reach < 1:
            return found
        weights, _, reach = weights_within_reach(errors.cost, self.beta)
        missed = np.sqrt(reach) * self._missed_at(errors.theta, weights)
        return replace(found, left_open=float(np.hypot(found.left_open, missed)))

    def uncertainty_at(self, theta: Float[np.ndarray, "m dim"]) -> float:
        """How far the fit leaves the log density open between draws (m, dim), as a standard deviation in nats."""
        return self._left_open_at(theta, np.arange(len(theta))).nats

    def _left_open_at(self, theta: Float[np.ndarray, "m dim"], numbers: Int[np.ndarray, " m"]) -> LeftOpen:
        """By the members' disagreement, and by structure of the held-out rows that all members miss."""
        members = np.asarray(self.cost.members(theta, self._x, self._conditions), np.float64)
        error = self.log_density_error
        missed = 0.0 if error is None or error.reach == 1.0 else self._missed_at(theta)
        return LeftOpen(numbers, by_members(self.cost, members, self.beta), missed, self.prior.dim)

    def _missed_at(self, theta: Float[np.ndarray, "m dim"], weights: Float[np.ndarray, " m"] | None = None) -> float:
        """What all members miss of the log density at parameters of such weights, in nats.

        It is asked only where few held-out rows lie near the posterior: many contradict the cost themselves.
        """
        missed = missed_structure(self.cost)
        if missed is None:
            return 0.0
        conditions = np.broadcast_to(np.asarray(self._conditions), (len(theta), len(self._conditions)))
        inputs = np.concatenate([theta, conditions], axis=1)
        return missed_nats(missed, self.cost, self._x, inputs, self.beta, weights)

    @functools.cached_property
    def outcome(self) -> Outcome:
        """What speaks against the posterior before it is sampled, and the remedy."""
        error = self.log_density_error
        known = [self.known_outcome, self.scale_outcome]
        return Outcome.joined(known if error is None else [*known, error.outcome])

    @property
    def conditions(self) -> dict[str, float]:
        """The known conditions of the observation, and the parameters that are held at values."""
        return dict(zip(self.cost.condition_names, np.asarray(self._conditions).tolist(), strict=True))

    @property
    def held(self) -> dict[str, float]:
        """The parameters that are held at values."""
        conditions = self.conditions
        return {name: conditions[name] for name in held_names(self.cost)}

    def fix(self, values: Mapping[str, Any]) -> "GibbsPosterior":
        """The posterior of the other parameters, given that some have known values.

        It is the conditional of this posterior: the cost at these values, and the prior of the rest. Nothing is
        simulated or fitted. Checks, reports and refinement run the simulator with the held values in their places.

        Args:
            values: a mapping from a parameter's name to its value; of a vector-valued parameter to all its coordinates.

        Raises:
            TypeError: values is no mapping to numbers.
            ValueError: an unknown name, a value outside the prior's support or between those of an integer, a part of a
                vector-valued parameter, or all parameters.

        Example:
            >>> known = posterior.fix({"k": 0.3})
            >>> draws = known.sample(4000, seed=0)  # of the others; draws.conditions["k"] is 0.3
        """
        columns = held_columns(self.prior, values, 1, self.conditions)
        rest = self.prior.select([name for name in self.prior.names if name not in columns])
        conditions = self.conditions | {name: float(column[0]) for name, column in columns.items()}
        cost = with_known(self.cost, tuple(columns))
        x_o = self.x_o if self.observation is None else self.observation
        return GibbsPosterior(rest, cost, x_o, self.beta, conditions=conditions)

    def cost_at(self, theta: Numbers) -> Float[Array, "..."]:
        """The cost of parameters (..., dim) for this observation, in units of the distance.

        Raises:
            ValueError: a parameter lies outside the prior's support, where there were no simulations to learn from.
        """
        self.prior.check_inside(theta)
        return self.cost(theta, self._x, self._conditions)

    def log_density(self, theta: Numbers) -> Float[Array, "..."]:
        """Unnormalised log density of parameters (..., dim); -inf outside the prior's support."""
        return log_density_given(self.prior, theta, self.log_factor)

    def log_factor(self, theta: Numbers) -> Float[Array, "..."]:
        """Log of what the prior is multiplied by at parameters (..., dim) inside its support."""
        success = self.cost.log_prior_factor(theta, self._conditions)
        return success - self.beta * self.cost(theta, self._x, self._conditions)

    def sample(self, n: int, *, seed: int, sampler: Sampler | None = None) -> Draws:
        """Draws from the posterior.

        Args:
            n: number of draws, rounded up to a multiple of the sampler's chains.
            seed: the same seed gives the same draws.
            sampler: `SMC()` if not given; `NUTS()` for many correlated draws of one mode.

        Raises:
            ValueError: n is not a positive whole number.
            TypeError: sampler is not a sampler.
        """
        sampler, sampled, seconds = run_sampler(self._target, n, seed, sampler)
        flat = np.asarray(sampled.theta, np.float32).reshape(-1, self.prior.dim)
        left_open = self.left_open(flat)
        open_by = Outcome() if left_open is None else left_open.outcome
        return Draws(
            theta=sampled.theta,
            cost=sampled.cost,
            names=self.prior.names,
            beta=self.beta,
            x_o=self.x_o,
            conditions=self.conditions,
            sampler=sampler.name,
            seed=seed,
            statistics=sampled.statistics,
            seconds=seconds,
            sampler_outcome=Outcome.joined([self.judge_draws(flat), open_by, sampled.outcome]),
            integer_names=self.prior.integer_names,
            left_open=left_open,
        )

    def explore(self, draws: Draws | None = None, **shown: Any) -> "ExplorerPage":
        """The explorer of this posterior: `gb.explore(posterior, draws)`, which says what can be done with it.

        Args:
            draws: of this posterior; without them 2,000 are made, with seed 0.
            shown: as in `explore`: simulations, title, axis, labels.

        Raises:
            ValueError: the draws are not this posterior's, or cost, prior or observation have no program in a page.
        """
        # A door upwards, for whoever has a posterior looks for it here: the one import that goes against the layers.
        from ..explorer.alone import explore

        return explore(self, draws, **shown)

    def left_open(self, theta: Float[np.ndarray, "m dim"]) -> LeftOpen | None:
        """What the ensemble leaves open of the log density of draws; None for a cost without held-out rows.

        At the draws it is known better than from simulations near by.
        """
        if self.log_density_error is None:
            return None
        chosen = evenly_spaced(len(theta), _MOST_JUDGED)
        return self._left_open_at(theta[chosen], chosen)

    def judge_draws(self, theta: Float[np.ndarray, "m dim"]) -> Outcome:
        """What speaks against the posterior, and against its cost at the values of its draws' integers."""
        error = self.log_density_error
        contradicted = Outcome() if error is None else error.contradictions
        return Outcome.joined([self.known_outcome, self.scale_outcome, contradicted, judge_levels(self.cost, theta)])


def log_density_given(
    prior: Prior, theta: Numbers, log_factor: Callable[[Float[Array, "..."]], Float[Array, "..."]]
) -> Float[Array, "..."]:
    """Log of prior times a factor at parameters (..., dim); -inf outside the support, where the factor is not asked."""
    theta = jnp.asarray(theta, jnp.float32)
    density = prior.log_density(theta)
    # The cost of a parameter without prior mass may be anything, NaN included.
    inside = jnp.isfinite(density)
    somewhere = prior.from_unconstrained(jnp.zeros(prior.unconstrained_dim))
    safe = jnp.where(inside[..., None], theta, jnp.broadcast_to(somewhere, theta.shape))
    return jnp.where(inside, density + log_factor(safe), -jnp.inf)
