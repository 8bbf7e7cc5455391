"""The probability that a run succeeds, as a function of its parameters: a classifier of failed and of good rows.

Where the simulator always fails nothing was learned of the cost, and it extrapolates; this says where that is.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..runtime.compiling import compiled, on_device
from .folds import Folds
from .layers import ResidualMLP, Standardiser, stack
from .polynomial import Polynomial, degrees
from .training import FitConfig, FitRecord, known_rows, train

# A small network: one smooth function of few parameters, which is asked at every step of every sampler.
SUCCESS_CONFIG = FitConfig(members=2, width=32, depth=1, max_epochs=60, patience=10, batch_size=128)
# Penalties of the logistic regression, per row, from next to none to a constant.
_PENALTIES = np.logspace(-6, 1, 8)
# Rows of the rarer kind for each feature of a polynomial.
_ROWS_PER_FEATURE = 5


class SuccessProbability(eqx.Module):
    """P(success | theta) of ONE vector of inputs."""

    @abstractmethod
    def log_probability(self, theta: Float[Array, " inputs"]) -> Float[Array, ""]:
        """Log of the probability of success."""

    @abstractmethod
    def probabilities(self, theta: Float[Array, " inputs"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The probabilities of success and of failure, each without rounding the smaller one away."""


class SuccessModel(SuccessProbability):
    """P(success | theta) = sigmoid(intercept + slopes . basis(z(theta)) + network(z(theta))), by members' mean odds.

    Standardiser and basis are shared by the members; all else has them as its leading axis.
    """

    standardise: Standardiser
    basis: Polynomial
    intercept: Float[Array, " members"]
    slopes: Float[Array, "members size"]
    network: ResidualMLP | None

    def member_logits(self, theta: Float[Array, " inputs"]) -> Float[Array, " members"]:
        """Each member's log odds of success at one parameter."""
        z = self.standardise(theta)
        logits = self.intercept + self.basis(z) @ self.slopes.T
        if self.network is None:
            return logits
        return logits + eqx.filter_vmap(lambda network: network(z)[0])(self.network)

    def log_probability(self, theta: Float[Array, " inputs"]) -> Float[Array, ""]:
        """Log of the probability of success, by the members' mean log odds."""
        return jax.nn.log_sigmoid(jnp.mean(self.member_logits(theta)))

    def probabilities(self, theta: Float[Array, " inputs"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The probabilities of success and of failure; the difference of one and 1 would lose a small other."""
        logit = jnp.mean(self.member_logits(theta))
        return jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)


def fit_success(
    inputs: Float[np.ndarray, "n inputs"],
    succeeded: Bool[np.ndarray, " n"],
    *,
    seed: int,
    levels: Mapping[int, Sequence[int]] | None = None,
    config: FitConfig = SUCCESS_CONFIG,
    progress: bool = False,
) -> tuple[SuccessModel, FitRecord | None]:
    """Fits P(success | inputs) to rows of both kinds.

    Logistic regressions on polynomials of growing degree are compared by the log loss of held-out rows, and a network
    on top of the best of them is kept where held-out rows prefer it beyond doubt.

    Args:
        inputs: parameters and, after them, known conditions, of all rows.
        succeeded: whether each run did; both kinds must occur.
        seed: of folds, first weights and batches.
        levels: values of the inputs that are integers, by their numbers.
        config: of the network.
        progress: show a progress bar.

    Returns:
        The model, and the record of the network's fit where there was one.
    """
    folds = Folds.make(np.arange(len(inputs)), config, seed)
    standardise = Standardiser.fit(inputs, levels=levels)
    z = standardise.of_rows(inputs)
    rarer = int(min(succeeded.sum(), (~succeeded).sum()))
    sizes = {
        degree: size
        for degree, size in degrees(z.shape[1], len(z), standardise.groups).items()
        if size <= max(z.shape[1], rarer // _ROWS_PER_FEATURE)
    }
    whole = Polynomial.fit(z, max(sizes), standardise.groups)
    features = whole.of_rows(z)
    label = succeeded.astype(np.float64)
    tried = {}
    for degree, size in sizes.items():
        for penalty in _PENALTIES:
            fits = [logistic_ridge(features[rows, :size], label[rows], penalty) for rows in folds.train]
            losses = np.concatenate(
                [
                    log_loss(intercept + features[rows, :size] @ slopes, label[rows])
                    for (intercept, slopes), rows in zip(fits, folds.validation, strict=True)
                ]
            )
            tried[degree, penalty] = losses, fits
    degree, penalty = min(tried, key=lambda key: tried[key][0].mean())
    losses, fits = tried[degree, penalty]
    basis = Polynomial.fit(z, degree, standardise.groups)
    model = SuccessModel(
        standardise,
        basis,
        on_device([intercept for intercept, _ in fits], np.float32),
        on_device(np.stack([slopes for _, slopes in fits]), np.float32),
        None,
    )
    rng = np.random.default_rng(seed)
    members = [ResidualMLP(z.shape[1], 1, config.width, config.depth, cornered=0.5, rng=rng) for _ in fits]
    shared = {"standardise": stack([standardise] * len(fits)), "basis": stack([basis] * len(fits))}
    start = replace(model, **shared, network=stack(members))
    trained, record = train(
        start,
        _cross_entropy,
        _Rows(*(on_device(part, np.float32) for part in (z, features[:, : sizes[degree]], label))),
        folds.train,
        folds.validation,
        config,
        rng=rng,
        name="probability of success",
        loss_name="cross-entropy",
        progress=progress,
    )
    curved = replace(model, intercept=trained.intercept, slopes=trained.slopes, network=trained.network)
    gain = losses - _held_out_losses(curved, inputs, label, folds)
    if gain.mean() > 2 * gain.std() / np.sqrt(len(gain)):
        return curved, record
    return model, None


def logistic_ridge(
    features: Float[np.ndarray, "n size"], label: Float[np.ndarray, " n"], penalty: float
) -> tuple[float, Float[np.ndarray, " size"]]:
    """Intercept and slopes of a logistic regression with penalty n penalty / 2 ||slopes||^2, by Newton's method."""
    n, size = features.shape
    design = np.concatenate([np.ones((n, 1)), features], axis=1)
    ridge = n * penalty * np.diag(np.r_[0.0, np.ones(size)])
    share = np.clip(label.mean(), 1 / (n + 1), n / (n + 1))
    coefficients = np.r_[np.log(share / (1 - share)), np.zeros(size)]
    for _ in range(30):
        probability = _sigmoid(design @ coefficients)
        curvature = (
            (design * (probability * (1 - probability))[:, None]).T @ design + ridge + 1e-9 * n * np.eye(size + 1)
        )
        step = np.linalg.solve(curvature, design.T @ (label - probability) - ridge @ coefficients)
        # Separable rows drive the coefficients to infinity, which the penalty bounds, and long steps would miss.
        step *= min(1.0, 5.0 / max(float(np.abs(design @ step).max()), 1e-300))
        coefficients += step
        if np.abs(step).max() < 1e-8:
            break
    return float(coefficients[0]), coefficients[1:]


def log_loss(logits: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Minus the log probability of every label."""
    return np.logaddexp(0.0, np.where(label > 0.5, -logits, logits))


def _sigmoid(logits: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 0.5 * (1 + np.tanh(logits / 2))


class _Rows(NamedTuple):
    """What the network is trained on: standardised inputs, their features, and 1 where a run succeeded."""

    z: Float[Array, "n width"]
    features: Float[Array, "n size"]
    label: Float[Array, " n"]


def _cross_entropy(module: SuccessModel, rows: Int[Array, " rows"], data: _Rows, key: PRNGKeyArray) -> Float[Array, ""]:
    """Of one member by itself, whose arrays have no leading axis."""
    del key
    z, features, label = (known_rows(part, rows) for part in data)
    assert module.network is not None
    logits = module.intercept + features @ module.slopes + jax.vmap(module.network)(z)[:, 0]
    return jnp.mean(jnp.logaddexp(0.0, jnp.where(label > 0.5, -logits, logits)))


def _held_out_losses(
    model: SuccessModel, inputs: Float[np.ndarray, "n inputs"], label: Float[np.ndarray, " n"], folds: Folds
) -> Float[np.ndarray, " held_out"]:
    logits = np.asarray(_member_logits(model, on_device(inputs, np.float32)), np.float64)
    return np.concatenate([log_loss(logits[rows, member], label[rows]) for member, rows in enumerate(folds.validation)])


@compiled
def _member_logits(model: SuccessModel, inputs: Float[Array, "n inputs"]) -> Float[Array, "n members"]:
    return jax.vmap(model.member_logits)(inputs)
