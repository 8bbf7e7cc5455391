"""`compare_models`: the Gibbs evidence of several simulators for one observation."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from ..costs.cost import Cost, Observed
from ..costs.forms import FunctionForm
from ..priors.prior import Prior
from ..runtime.counts import checked_count
from ..runtime.progress import progress_bar
from ..runtime.seeds import check_seed
from ..sampling.held_out_errors import HeldOutErrors
from ..sampling.left_open import LeftOpen
from ..sampling.log_density_error import LEAST_ROWS, weights_within_reach
from ..sampling.posterior import GibbsPosterior
from ..sampling.smc import SMC, log_mean_exp
from .comparison import ModelComparison, ModelEvidence

# Independent populations, whose spread is the error of the evidence: with four it would be known to 40 % only.
_POPULATIONS = 16
_SUCCESS_DRAWS = 10_000
# Standard errors beyond which held-out rows contradict the cost.
_SURE = 2.0


def compare_models(
    models: Mapping[str, tuple[Prior, Cost]],
    x_o: Observed,
    beta: float | int,
    *,
    draws: int = 4000,
    seed: int,
    prior_probabilities: Mapping[str, float | int] | None = None,
    conditions: Mapping[str, float | int] | None = None,
    progress: bool = True,
) -> ModelComparison:
    """Computes every model's Gibbs evidence, log of the integral of exp(-beta cost(theta, x_o)) prior(theta) d theta.

    The evidence is the product of the mean weights of tempered sequential Monte Carlo from the prior to beta (Del
    Moral, Doucet, Jasra 2006, section 3.2), the mean of 16 independent populations. Where runs of a simulator fail,
    exp(-beta cost) is multiplied by the probability of success, as in its posterior.

    A Gibbs evidence weighs models as exp(-beta cost) weighs parameters: it is a probability of the observation only
    where beta times the distance is minus a log-likelihood. Evidences compare at one beta, one distance and one form of
    the output alone, and another beta may prefer another model: a small one the model that is never far off, a large
    one that which comes nearest. A wide prior costs evidence, as in any Bayesian comparison.

    Args:
        models: name -> (prior, cost); two or more, with costs of one and the same distance.
        x_o: the observation.
        beta: inverse temperature, in 1 / units of the distance.
        draws: number of draws of each posterior, and with it of the particles; at least 50 in each of 16 populations.
        seed: of all draws.
        prior_probabilities: name -> probability of every model; equal ones if not given. They are scaled to the sum 1.
        conditions: known conditions of the observation, for the models that take them.
        progress: show a progress bar.

    Raises:
        TypeError: models are no mapping of pairs.
        ValueError: fewer than two models; costs of other outputs, units, distances or scales; probabilities that are
            not positive, or of other models; what `GibbsPosterior` refuses.

    Example:
        >>> found = gb.compare_models({"one rate": (prior_1, cost_1), "two": (prior_2, cost_2)}, x_o, 50.0, seed=0)
        >>> print(found.summary())
    """
    _check_models(models)
    seed, draws = check_seed(seed), checked_count("draws", draws)
    shares = _checked_probabilities(models, prior_probabilities)
    sampler = SMC(populations=_POPULATIONS, min_particles=max(250, -(-draws // _POPULATIONS)))
    posteriors = {
        name: GibbsPosterior(prior, cost, x_o, beta, conditions=conditions if cost.condition_names else None)
        for name, (prior, cost) in models.items()
    }
    found = []
    with progress_bar("sampling models", len(models), progress) as advance:
        for number, (name, posterior) in enumerate(posteriors.items()):
            own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            found.append(_evidence(name, posterior, sampler, draws, own_seed, shares[name]))
            advance(note=name)
    first = next(iter(posteriors.values()))
    return ModelComparison(tuple(found), first.beta, first.x_o)


def _evidence(
    name: str, posterior: GibbsPosterior, sampler: SMC, n: int, seed: int, prior_probability: float
) -> ModelEvidence:
    drawn = posterior.sample(n, seed=seed, sampler=sampler)
    each = np.asarray(drawn.statistics["log_evidence_per_population"], np.float64)
    shares = np.exp(each - each.max())
    error = shares.std(ddof=1) / shares.mean() / np.sqrt(len(shares))
    log_success, success_error = _log_success(posterior, seed)
    return ModelEvidence(
        name=name,
        log_evidence=float(log_mean_exp(each)) + log_success,
        error=float(np.hypot(error, success_error)),
        cost_error=_cost_error(posterior, drawn.left_open),
        prior_probability=prior_probability,
        draws=drawn,
    )


def _log_success(posterior: GibbsPosterior, seed: int) -> tuple[float, float]:
    """Log of the mean probability of success over the prior, which tempering starts from, and its standard error."""
    cost = posterior.cost
    if cost.success_of_prior is None:
        return 0.0, 0.0
    theta = posterior.prior.sample(_SUCCESS_DRAWS, seed=seed)
    probability = np.exp(np.asarray(cost.log_success(theta, posterior.conditions or None), np.float64))
    return float(np.log(probability.mean())), float(probability.std() / probability.mean() / np.sqrt(_SUCCESS_DRAWS))


def _cost_error(posterior: GibbsPosterior, left_open: LeftOpen | None) -> float:
    """What an error of the cost adds to that of the log evidence, in nats.

    A constant error of the cost cancels in a posterior; here it does not. What the simulations leave open is told by
    the members; by how much all of them are off near the posterior, by held-out rows, as far as these contradict the
    cost. Their own noise is no error of the cost, for the fit pools all rows.
    """
    if isinstance(posterior.cost.form, FunctionForm):
        return 0.0
    errors = posterior.held_out_errors
    if errors is None or left_open is None:
        return float("nan")
    missed = posterior.beta * _contradiction(errors, posterior.beta)
    return float(np.hypot(left_open.error_of_log_evidence, missed))


def _contradiction(errors: HeldOutErrors, beta: float) -> float:
    """By how much held-out rows surely contradict the mean cost near the posterior, beyond their noise."""
    if len(errors.cost) < LEAST_ROWS:
        return 0.0
    weights, effective, _ = weights_within_reach(errors.cost, beta)
    mean = float(weights @ errors.residual)
    noise = float(np.sqrt(np.sum(weights**2 * (errors.residual - mean) ** 2)))
    sure = effective >= LEAST_ROWS and abs(mean) > _SURE * noise
    return float(np.sqrt(mean**2 - noise**2)) if sure else 0.0


def _check_models(models: Any) -> None:
    """Raises TypeError or ValueError unless the models' evidences can be compared."""
    if not isinstance(models, Mapping):
        raise TypeError(f"models must be a mapping from name to (prior, cost), got {type(models).__name__}.")
    for name, pair in models.items():
        if not (
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Prior) and isinstance(pair[1], Cost)
        ):
            raise TypeError(f"models[{name!r}] must be a pair (genbayes.Prior, genbayes.Cost), got {pair!r}.")
    if len(models) < 2:
        raise ValueError(f"models must be two or more to compare, got {list(models)}.")
    (first_name, (_, first)), *others = models.items()
    for name, (_, cost) in others:
        between = f"of the models {first_name!r} and {name!r}"
        if cost.x_shape != first.x_shape:
            raise ValueError(
                f"the outputs {between} have the shapes {first.x_shape} and {cost.x_shape}: evidences compare for one "
                "observation alone. Let both simulators return the same."
            )
        _check_distances(between, first, cost)


def _check_distances(between: str, one: Cost, other: Cost) -> None:
    if one.distance.units != other.distance.units:
        raise ValueError(
            f"the distances {between} have the units {one.distance.units!r} and {other.distance.units!r}, so that one "
            "beta would mean two things: fit both costs with the same distance."
        )
    # Of an exact cost nothing but the units is known.
    if isinstance(one.form, FunctionForm) or isinstance(other.form, FunctionForm):
        return
    if type(one.distance) is not type(other.distance) or one.distance.name != other.distance.name:
        raise ValueError(
            f"the distances {between} are {one.distance!r} and {other.distance!r}: evidences compare by one distance "
            "alone. Fit both costs with the same."
        )
    if not eqx.tree_equal(one.distance, other.distance):
        raise ValueError(
            f"the distances {between} differ: {one.distance!r} and {other.distance!r}. What a distance takes from the "
            "simulations (scale='prior_predictive', landmarks, a bandwidth) is another for every simulator: give the "
            "same in numbers to both, such as the standard deviations of one model's outputs or the measurement errors."
        )


def _checked_probabilities(
    models: Mapping[str, tuple[Prior, Cost]], given: Mapping[str, float | int] | None
) -> dict[str, float]:
    if given is None:
        return {name: 1 / len(models) for name in models}
    if not isinstance(given, Mapping) or set(given) != set(models):
        named = sorted(given) if isinstance(given, Mapping) else given
        raise ValueError(f"prior_probabilities must be given for every model, {list(models)}, got {named!r}.")
    values = {name: float(given[name]) for name in models}
    if not all(np.isfinite(value) and value > 0 for value in values.values()):
        raise ValueError(f"prior_probabilities must be positive numbers, got {values}; leave an impossible model out.")
    total = sum(values.values())
    return {name: value / total for name, value in values.items()}
