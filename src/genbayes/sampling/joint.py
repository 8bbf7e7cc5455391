"""`joint`: several data sets, each with its own simulator and cost, that share some parameters or all.

The posterior is exp(-sum_i beta_i cost_i(theta_i, x_i)) prior(theta), where theta_i are those parameters that the i-th
cost knows, found by their names. For a sampler that is one more Gibbs posterior: its cost is the sum, its inverse
temperature 1. For everything else each data set keeps a posterior of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..costs.cost import Numbers
from ..costs.placed import PlacedForm, PlacedSuccess, Places, ProductOfSuccesses, WeightedSum
from ..priors.prior import Prior
from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.units import unit_of_beta
from .draws import Draws
from .draws_origin import same_observation
from .held_values import held_columns
from .left_open import LeftOpen
from .posterior import GibbsPosterior, log_density_given
from .running import run_sampler
from .sampler import Sampler
from .target import Target

_ENTRY = "(cost, x_o, beta), (cost, x_o, beta, conditions) or a GibbsPosterior"


class JointPosterior:
    """p(theta | x_1, x_2, ...) proportional to exp(-sum_i beta_i cost_i(theta_i, x_i)) prior(theta); see `joint`.

    Attributes:
        prior: over the parameters of all data sets.
        parts: by the name of the data set, its own posterior under its part of the prior.
    """

    def __init__(self, prior: Prior, parts: Mapping[str, GibbsPosterior]):
        self.prior = prior
        self.parts = dict(parts)
        self._columns = {
            name: np.array([prior.names.index(one) for one in part.prior.names]) for name, part in self.parts.items()
        }
        self._target = self._as_target()

    def __repr__(self) -> str:
        sets = ", ".join(f"{name} (beta {part.beta:g})" for name, part in self.parts.items())
        held = "".join(f", {name} = {value:g}" for name, value in self.held.items())
        return f"JointPosterior(parameters {', '.join(self.prior.names)}; data sets {sets}{held})"

    def _repr_html_(self) -> str:
        properties = {"parameters": ", ".join(self.prior.names)}
        for name, part in self.parts.items():
            unit = unit_of_beta(part.cost.distance.units)
            properties[name] = f"{', '.join(part.prior.names)}; beta {part.beta:g}, {unit}"
        properties["held"] = ", ".join(f"{name} = {value:g}" for name, value in self.held.items()) or "none"
        return html_properties("Joint Gibbs posterior", properties, self.outcome.messages)

    @property
    def beta(self) -> float:
        """1: the inverse temperatures of the data sets are in the cost, which is in nats."""
        return 1.0

    @property
    def x_o(self) -> np.ndarray:
        """The observations, one after the other as one vector."""
        return np.concatenate([part.x_o.reshape(-1) for part in self.parts.values()])

    @property
    def conditions(self) -> dict[str, float]:
        """The known conditions of all data sets and what is held; with the data set's name where the values differ."""
        found: dict[str, float] = {}
        for name, part in self.parts.items():
            for condition, value in part.conditions.items():
                others = [one.conditions.get(condition, value) for one in self.parts.values()]
                found[condition if set(others) == {value} else f"{condition} of {name}"] = value
        return found

    @property
    def held(self) -> dict[str, float]:
        """The parameters that `fix` holds at values."""
        return {name: value for part in self.parts.values() for name, value in part.held.items()}

    @property
    def outcome(self) -> Outcome:
        """What speaks against each data set's posterior by itself before it is sampled; messages name the data set."""
        return Outcome.joined([_told(name, part.outcome) for name, part in self.parts.items()])

    @property
    def cost(self) -> NoReturn:
        """There is none: each data set has its own."""
        raise AttributeError(
            "a joint posterior has a cost for each data set, posterior.parts[name].cost: give "
            "posterior.parts[name], with posterior.draws_of(name, draws), to what looks at one data set."
        )

    def cost_at(self, theta: Numbers) -> Float[Array, "..."]:
        """The sum of beta times cost over the data sets at parameters (..., dim), in nats.

        Raises:
            ValueError: a parameter lies outside the prior's support.
        """
        self.prior.check_inside(theta)
        theta = jnp.asarray(theta, jnp.float32)
        costs = [part.beta * part.cost_at(self._of(name, theta)) for name, part in self.parts.items()]
        return jnp.sum(jnp.stack(costs), axis=0)

    def log_density(self, theta: Numbers) -> Float[Array, "..."]:
        """Unnormalised log density of parameters (..., dim); -inf outside the prior's support."""

        def log_factor(inside: Float[Array, "..."]) -> Float[Array, "..."]:
            factors = [part.log_factor(self._of(name, inside)) for name, part in self.parts.items()]
            return jnp.sum(jnp.stack(factors), axis=0)

        return log_density_given(self.prior, theta, log_factor)

    def sample(self, n: int, *, seed: int, sampler: Sampler | None = None) -> Draws:
        """Draws from the joint posterior; arguments and errors are those of `GibbsPosterior.sample`.

        The cost of the draws is the sum of beta times cost over the data sets, and their beta 1; `draws_of` gives those
        of one data set. The sampler's log evidence is that of all data sets together.
        """
        sampler, sampled, seconds = run_sampler(self._target, n, seed, sampler)
        flat = np.asarray(sampled.theta, np.float32).reshape(-1, self.prior.dim)
        own = {name: flat[:, columns] for name, columns in self._columns.items()}
        judged = [_told(name, part.judge_draws(own[name])) for name, part in self.parts.items()]
        left_open = LeftOpen.joined([part.left_open(own[name]) for name, part in self.parts.items()], self.prior.dim)
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
            sampler_outcome=Outcome.joined([*judged, open_by, sampled.outcome]),
            integer_names=self.prior.integer_names,
            left_open=left_open,
        )

    def draws_of(self, name: str, draws: Draws) -> Draws:
        """Draws of the joint posterior as draws of one data set's parameters, with its cost, beta and observation.

        With `parts[name]` they go to what looks at one data set: `check`, `check_predictive`, `report`, pictures.

        Args:
            name: of the data set.
            draws: from `sample`.

        Raises:
            KeyError: there is no such data set.
            ValueError: the draws are not this posterior's.
        """
        if name not in self.parts:
            raise KeyError(f"there is no data set {name!r}; the data sets are {', '.join(self.parts)}.")
        own = (draws.names, draws.beta, draws.conditions) == (self.prior.names, self.beta, self.conditions)
        if not own or not same_observation(draws.x_o, self.x_o):
            raise ValueError(
                f"the draws are not this posterior's: they are {draws!r} of the parameters {', '.join(draws.names)}, "
                f"the posterior is {self!r}, maybe of other observations. Give draws of posterior.sample."
            )
        part = self.parts[name]
        theta = draws.theta[..., self._columns[name]]
        cost = np.asarray(part.cost(theta, part.x_o, part.conditions or None), draws.cost.dtype)
        return Draws(
            theta=theta,
            cost=cost,
            names=part.prior.names,
            beta=part.beta,
            x_o=part.x_o,
            conditions=part.conditions,
            sampler=draws.sampler,
            seed=draws.seed,
            statistics=draws.statistics,
            seconds=draws.seconds,
            sampler_outcome=draws.sampler_outcome,
            integer_names=part.prior.integer_names,
            left_open=draws.left_open,
        )

    def fix(self, values: Mapping[str, Any]) -> "JointPosterior":
        """The joint posterior of the other parameters, given that some have known values; see `GibbsPosterior.fix`.

        Raises:
            TypeError: values is no mapping to numbers.
            ValueError: what `GibbsPosterior.fix` would not take; or all parameters of one data set.
        """
        columns = held_columns(self.prior, values, 1, self.conditions)
        parts = {}
        for name, part in self.parts.items():
            own = {one: column[0] for one, column in columns.items() if one in part.prior.names}
            if len(own) == part.prior.dim:
                raise ValueError(
                    f"values holds all parameters of the data set {name} ({', '.join(part.prior.names)}), which then "
                    "says nothing of the others: leave it out of the joint posterior."
                )
            parts[name] = part.fix(own) if own else part
        return JointPosterior(self.prior.select([one for one in self.prior.names if one not in columns]), parts)

    def _of(self, name: str, theta: Float[Array, "... dim"]) -> Float[Array, "... own"]:
        return theta[..., self._columns[name]]

    def _as_target(self) -> Target:
        """What samplers see: one cost, the sum over data sets, at beta 1."""
        forms, successes, embedded = [], [], []
        for name, part in self.parts.items():
            known = jnp.asarray(list(part.conditions.values()), jnp.float32)
            # Known conditions of the data set stand behind all parameters.
            order = (*self._columns[name].tolist(), *range(self.prior.dim, self.prior.dim + len(known)))
            places = Places(order, known)
            forms.append(PlacedForm(part.cost.expectation, places))
            embedded.append(part.cost.embed(part.x_o))
            if part.cost.success_of_prior is not None:
                successes.append(PlacedSuccess(part.cost.success_of_prior, places))
        betas = jnp.asarray([part.beta for part in self.parts.values()], jnp.float32)
        success = ProductOfSuccesses(tuple(successes)) if successes else None
        cost = WeightedSum(tuple(forms), betas)
        return Target(cost, tuple(embedded), jnp.zeros(0), jnp.ones(()), self.prior, success)


def joint(data_sets: Sequence[Any] | Mapping[str, Any], prior: Prior) -> JointPosterior:
    """The posterior of several data sets, each with its own simulator and fitted cost, that share parameters.

    exp(-sum_i beta_i cost_i(theta_i, x_i)) prior(theta): each cost takes its parameters from the prior by their names.
    The data sets are independent given the parameters. Where runs of their simulators may fail, the prior is multiplied
    by the probability that all succeed.

    Args:
        data_sets: a list, or a mapping from name to data set: (cost, x_o, beta), (cost, x_o, beta, conditions), or a
            `GibbsPosterior` whose own prior is left aside. NaN in x_o is a missing value, as in `GibbsPosterior`. In a
            list they are called "data set 1", "data set 2", ...
        prior: over the parameters of all costs. Each cost was fitted to simulations of its part of it.

    Raises:
        TypeError: data_sets or prior are something else.
        ValueError: a parameter that the prior lacks, or that no cost knows; what `GibbsPosterior` would not take, with
            the data set's name.

    Example:
        >>> data_sets = {"growth": (cost_a, x_a, 100.0), "delay": (cost_b, x_b, 20.0)}
        >>> posterior = gb.joint(data_sets, prior)
        >>> draws = posterior.sample(4000, seed=0)
        >>> gb.check(posterior.parts["growth"], posterior.draws_of("growth", draws), simulator_a, seed=1)
    """
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a genbayes.Prior, got {type(prior).__name__}.")
    named = _named(data_sets)
    parts = {name: _part(name, entry, prior) for name, entry in named.items()}
    known = {one for part in parts.values() for one in part.prior.names}
    unknown = [one for one in prior.names if one not in known]
    if unknown:
        raise ValueError(
            f"the prior has {', '.join(unknown)}, which no data set's cost knows, so that nothing is learned of it: "
            "leave it out of the prior."
        )
    _check_held(prior, parts)
    return JointPosterior(prior, parts)


def remedy_for_joint(posterior: Any) -> str:
    """What to give instead of a joint posterior to what looks at one data set; empty for anything else."""
    if not isinstance(posterior, JointPosterior):
        return ""
    return " A joint posterior is looked at by data set: posterior.parts[name], posterior.draws_of(name, draws)."


def _named(data_sets: Any) -> dict[str, Any]:
    if isinstance(data_sets, Mapping):
        named = {str(name): entry for name, entry in data_sets.items()}
    elif isinstance(data_sets, list | tuple):
        named = {f"data set {i}": entry for i, entry in enumerate(data_sets, 1)}
    else:
        raise TypeError(f"data_sets must be a list or a mapping of {_ENTRY}, got {type(data_sets).__name__}.")
    if not named:
        raise ValueError(f"data_sets is empty: give one or more, each {_ENTRY}.")
    return named


def _part(name: str, entry: Any, prior: Prior) -> GibbsPosterior:
    """The posterior of one data set under its part of the prior."""
    if isinstance(entry, GibbsPosterior):
        entry = (entry.cost, entry.x_o, entry.beta, entry.conditions or None)
    if not isinstance(entry, tuple | list) or len(entry) not in (3, 4):
        raise TypeError(f"{name} must be {_ENTRY}, got {_shape_of(entry)}.")
    cost, x_o, beta, *rest = entry
    # What is no cost is refused below, in the words of GibbsPosterior.
    names = getattr(cost, "names", prior.names)
    missing = [one for one in names if one not in prior.names]
    if missing:
        raise ValueError(
            f"{name}: its cost has the parameters ({', '.join(names)}), and the prior ({', '.join(prior.names)}) lacks "
            f"{', '.join(missing)}: give it the distribution that the simulations were drawn from, or hold a known one "
            "at its value (GibbsPosterior(...).fix({...}) is a data set, too)."
        )
    try:
        return GibbsPosterior(prior.select(names), cost, x_o, beta, conditions=rest[0] if rest else None)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def _check_held(prior: Prior, parts: Mapping[str, GibbsPosterior]) -> None:
    """Refuses what one data set knows, and another takes as a parameter or holds at another value."""
    held: dict[str, float] = {}
    for name, part in parts.items():
        for one, value in part.conditions.items():
            if one in prior.names:
                raise ValueError(
                    f"{name} knows {one} = {value:g}, but the prior has it as a parameter. Where they are the same "
                    "thing, leave it out of the prior and hold it in every data set (posterior.fix of the joint "
                    "posterior holds a parameter in all); where they are not, give one of them another name."
                )
            if one in part.held and held.setdefault(one, value) != value:
                raise ValueError(f"{name} holds {one} at {value:g}, and another data set at {held[one]:g}.")


def _shape_of(entry: Any) -> str:
    return f"{len(entry)} items" if isinstance(entry, tuple | list) else type(entry).__name__


def _told(name: str, outcome: Outcome) -> Outcome:
    """Messages with the name of their data set."""
    return Outcome(tuple(f"{name}: {message}" for message in outcome.messages))
