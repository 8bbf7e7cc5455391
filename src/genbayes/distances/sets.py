"""Distances of sets of independent trials, of shape (trials, trial_dim); the order of trials does not matter."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..runtime.outcome import Outcome
from .base import Distance, Framing, HilbertDistance, replaced, require_fitted
from .unequal_sets import all_trials, present, shares

Estimator = Literal["biased", "unbiased"]
K = TypeVar("K", bound="KernelDistance")
# Share of the simulated trials' kernel that the landmarks may miss before the cost is said to be too small.
_MOST_MISSED = 0.05
# Of the sum that stands for the integral of a mean norm: the error is exp(-pi^2 / (2 step)), 1e-6.
_STEP = 0.35


class KernelDistance(HilbertDistance):
    """The squared kernel distance of two sets: mean k(x, x') + mean k(y, y') - 2 mean k(x, y).

    Its features are the projection of a set's mean embedding on the span of `landmarks` among the simulated trials
    (Nystroem), chosen by pivoted Cholesky until no simulated trial is farther from the span than `tolerance`. Because
    the simulated sets lie in that span, <features(x), features(y)> is right for every y, however far away.

    Attributes:
        estimator: whether the means within a set are over all pairs ("biased") or over pairs of different trials.
        max_landmarks: bound on the number of features.
        tolerance: squared distance from the span at which no further landmark is taken, relative to the mean norm.
        landmarks: (k, trial_dim), simulated trials; None until `fitted` has chosen them.
        whitening: L^-1, where the landmarks' own kernel matrix is L L^T, (k, k).
        missed: mean squared distance of a simulated trial from the span, relative to its mean norm.
    """

    reads_sets: ClassVar[bool] = True
    reads_unequal_sets: ClassVar[bool] = True
    framing: ClassVar[Framing] = "common"

    estimator: eqx.AbstractVar[Estimator]
    max_landmarks: eqx.AbstractVar[int]
    tolerance: eqx.AbstractVar[float]
    landmarks: eqx.AbstractVar[Array | None]
    whitening: eqx.AbstractVar[Array | None]
    missed: eqx.AbstractVar[Array | None]

    @abstractmethod
    def kernel(self, x: Float[Array, " trial_dim"], y: Float[Array, " trial_dim"]) -> Float[Array, ""]:
        """The kernel of two trials."""

    def gram(self, x: Float[Array, "n trial_dim"], y: Float[Array, "m trial_dim"]) -> Float[Array, "n m"]:
        """The kernel of all pairs."""
        return jax.vmap(lambda a: jax.vmap(lambda b: self.kernel(a, b))(y))(x)

    def in_units(self: K, unit: float | np.ndarray) -> K:
        """The landmarks in the new units; `kernel` follows by what else is in data units."""
        return self if self.landmarks is None else replaced(self, landmarks=_in_units(self.landmarks, unit))

    def features(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, " k"]:
        """L^-1 mean_i k(landmarks, x_i), where the landmarks' own kernel matrix is L L^T."""
        trials, share = shares(x)
        kernels = self.gram(require_fitted(self.landmarks, x), trials)
        return require_fitted(self.whitening, x) @ jnp.sum(kernels * share[None], axis=1)

    def self_term(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, ""]:
        """Mean kernel within the set: over all pairs ("biased") or over pairs of different trials ("unbiased")."""
        trials, share = shares(x)
        return self._within(self.gram(trials, trials), share)

    def _within(self, gram: Float[Array, "trials trials"], share: Float[Array, " trials"]) -> Float[Array, ""]:
        """The mean within a set of the kernel of all its pairs."""
        pairs = share[:, None] * share[None]
        if self.estimator == "biased":
            return jnp.sum(gram * pairs)
        pairs = jnp.where(jnp.eye(len(share), dtype=bool), 0.0, pairs)
        return jnp.sum(gram * pairs) / jnp.sum(pairs)

    @abstractmethod
    def kernel_with_errors(
        self,
        x: Float[Array, " trial_dim"],
        y: Float[Array, " trial_dim"],
        of_x: Float[Array, " trial_dim"],
        of_y: Float[Array, " trial_dim"],
        between: Float[Array, " trial_dim"],
    ) -> Float[Array, ""]:
        """The mean kernel of two trials with normal errors of variances `of_x` and `of_y`, and `between` of x - y."""

    def with_error(
        self, x: Float[Array, "trials trial_dim"], sd: Float[Array, "trials trial_dim"], key: PRNGKeyArray
    ) -> tuple[Float[Array, " k"], Float[Array, ""]]:
        """The means of `features` and `self_term`, in closed form."""
        del key
        trials, share = shares(x)
        variance = jnp.where(present(x)[:, None], sd**2, 0.0)
        landmarks = require_fitted(self.landmarks, x)
        none, same = jnp.zeros_like(variance[0]), jnp.eye(len(trials), dtype=bool)

        def to_trials(one: Array, of_one: Array, is_same: Array) -> Array:
            # A trial differs from itself by no error.
            between = jnp.where(is_same[:, None], 0.0, of_one[None] + variance)
            of_pair = jax.vmap(self.kernel_with_errors, (None, 0, None, 0, 0))
            return of_pair(one, trials, of_one, variance, between)

        kernels = jax.vmap(lambda one: to_trials(one, none, jnp.zeros(len(trials), bool)))(landmarks)
        features = require_fitted(self.whitening, x) @ jnp.sum(kernels * share[None], axis=1)
        return features, self._within(jax.vmap(to_trials)(trials, variance, same), share)

    def __call__(self, x: Float[Array, "trials trial_dim"], x_target: Float[Array, "m trial_dim"]) -> Float[Array, ""]:
        """The distance of one set to one set, which may have another number of trials."""
        (trials, share), (others, share_of_others) = shares(x), shares(x_target)
        between = jnp.sum(self.gram(trials, others) * share[:, None] * share_of_others[None])
        return self.self_term(x) + self.self_term(x_target) - 2 * between

    @property
    def outcome(self) -> Outcome:
        """Says where the landmarks miss so much that the learned cost is too small.

        Single trials of many dimensions may lie far from any few landmarks.
        """
        if self.missed is None or self.missed < _MOST_MISSED:
            return Outcome()
        return Outcome(
            (
                f"The {self.max_landmarks} landmarks of the distance {self.name} miss {float(self.missed):.0%} of "
                "the simulated trials' kernel: raise max_landmarks, use a wider kernel, or compare summaries of the "
                "trials.",
            )
        )

    def check_target(self, x_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> None:
        """Raises ValueError unless both are sets of trials of the same dimension."""
        _check_set(self.name, x_shape)
        if len(target_shape) != 2 or target_shape[1] != x_shape[1]:
            raise ValueError(
                f"x_o has shape {target_shape}, but {self.name!r} compares it to sets of trials of shape {x_shape}: "
                f"expected (any number of trials, {x_shape[1]})."
            )
        if self.estimator == "unbiased" and min(x_shape[0], target_shape[0]) < 2:
            raise ValueError(
                f"the unbiased {self.name} needs at least 2 trials in each set, got {x_shape[0]} and "
                f"{target_shape[0]}; use estimator='biased'."
            )


class MMD(KernelDistance):
    """Squared maximum mean discrepancy with the kernel exp(-||a - b||^2 / (2 bandwidth^2)) (Gretton et al. 2012).

    Args:
        bandwidth: in data units, or "median": the median distance of two simulated trials.
        estimator: "biased" (never negative) or "unbiased".
        max_landmarks: bound on the number of features.
        tolerance: squared distance of a simulated trial from the span of the landmarks (the kernel is 1 at most).
    """

    citations: ClassVar[tuple[str, ...]] = ("gretton2012kernel",)

    bandwidth: Float[Array, ""] | None
    landmarks: Array | None
    whitening: Array | None
    missed: Array | None
    estimator: Estimator = eqx.field(static=True)
    max_landmarks: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(
        self,
        bandwidth: float | Literal["median"] = "median",
        estimator: Estimator = "biased",
        max_landmarks: int = 256,
        tolerance: float = 1e-5,
    ):
        if isinstance(bandwidth, str):
            if bandwidth != "median":
                raise ValueError(f"bandwidth must be a number or 'median', got {bandwidth!r}.")
            self.bandwidth = None
        elif not (np.isfinite(bandwidth) and bandwidth > 0):
            raise ValueError(f"bandwidth must be positive and finite, got {bandwidth!r}.")
        else:
            self.bandwidth = jnp.asarray(bandwidth, jnp.float32)
        self.landmarks = self.whitening = self.missed = None
        self.estimator, self.max_landmarks, self.tolerance = _checked(estimator, max_landmarks, tolerance)
        self.name, self.units = "mmd", "1 (squared kernel distance, 2 at most)"

    def fitted(self, x: np.ndarray) -> "MMD":
        """Fills in a median bandwidth and the landmarks."""
        _check_set(self.name, x.shape[1:])
        trials = _some_trials(x)
        distance = self
        if distance.bandwidth is None:
            pairs = np.random.default_rng(1).permutation(len(trials))
            half = len(trials) // 2
            median = np.median(np.linalg.norm(trials[pairs[:half]] - trials[pairs[half : 2 * half]], axis=1))
            if not median > 0:
                raise ValueError("bandwidth='median' is 0: most simulated trials are equal; give a bandwidth.")
            distance = replaced(distance, bandwidth=jnp.asarray(median, jnp.float32))
        return _with_landmarks(distance, trials, _rbf(float(require_fitted(distance.bandwidth, jnp.asarray(x)))))

    def in_units(self, unit: float | np.ndarray) -> "MMD":
        """Landmarks and bandwidth in the new units."""
        moved = super().in_units(unit)
        return moved if self.bandwidth is None else replaced(moved, bandwidth=_in_units(self.bandwidth, unit))

    def kernel(self, x: Float[Array, " trial_dim"], y: Float[Array, " trial_dim"]) -> Float[Array, ""]:
        """exp(-||x - y||^2 / (2 bandwidth^2))."""
        return jnp.exp(-jnp.sum(((x - y) / require_fitted(self.bandwidth, x)) ** 2) / 2)

    def kernel_with_errors(self, x: Array, y: Array, of_x: Array, of_y: Array, between: Array) -> Float[Array, ""]:
        """prod_i b / w_i exp(-(x_i - y_i)^2 / (2 w_i^2)), w_i^2 = b^2 + between_i: normal errors widen the kernel."""
        del of_x, of_y
        widened = 1 + between / require_fitted(self.bandwidth, x) ** 2
        away = ((x - y) / require_fitted(self.bandwidth, x)) ** 2 / widened
        return jnp.exp(-jnp.sum(away + jnp.log(widened)) / 2)


class EnergyDistance(KernelDistance):
    """Energy distance 2 E||x - y|| - E||x - x'|| - E||y - y'|| of two sets (Szekely and Rizzo 2013).

    Against one observed trial it is twice the energy score (Gneiting and Raftery 2007). It is the kernel distance of
    k(a, b) = ||a - c|| + ||b - c|| - ||a - b||, whatever the centre c.

    Args:
        estimator: "biased" (never negative) or "unbiased" means within a set.
        max_landmarks: bound on the number of features.
        tolerance: squared distance of a simulated trial from the span of the landmarks, relative to its mean norm.
    """

    citations: ClassVar[tuple[str, ...]] = ("gneiting2007scoring", "szekely2013energy")

    centre: Array | None
    landmarks: Array | None
    whitening: Array | None
    missed: Array | None
    unit: Float[Array | np.ndarray, ""]
    estimator: Estimator = eqx.field(static=True)
    max_landmarks: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, estimator: Estimator = "biased", max_landmarks: int = 256, tolerance: float = 1e-3):
        self.unit = np.ones((), np.float32)
        self.centre = self.landmarks = self.whitening = self.missed = None
        self.estimator, self.max_landmarks, self.tolerance = _checked(estimator, max_landmarks, tolerance)
        self.name, self.units = "energy_distance", "data units"

    def fitted(self, x: np.ndarray) -> "EnergyDistance":
        """Fills in the centre and the landmarks."""
        _check_set(self.name, x.shape[1:])
        trials = _some_trials(x)
        centre = trials.mean(axis=0)

        unit = float(self.unit)

        def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            norms = np.linalg.norm(a - centre, axis=1)[:, None] + np.linalg.norm(b - centre, axis=1)
            return unit * (norms - np.linalg.norm(a[:, None] - b, axis=2))

        return _with_landmarks(replaced(self, centre=jnp.asarray(centre, jnp.float32)), trials, kernel)

    def kernel(self, x: Float[Array, " trial_dim"], y: Float[Array, " trial_dim"]) -> Float[Array, ""]:
        """||x - c|| + ||y - c|| - ||x - y||, in data units; the centre cancels in the distance."""
        centre = jnp.zeros_like(x) if self.centre is None else self.centre
        return jnp.asarray(self.unit) * (_norm(x - centre) + _norm(y - centre) - _norm(x - y))

    def kernel_with_errors(self, x: Array, y: Array, of_x: Array, of_y: Array, between: Array) -> Float[Array, ""]:
        """The same of mean norms."""
        centre = jnp.zeros_like(x) if self.centre is None else self.centre
        norms = mean_norm(x - centre, of_x) + mean_norm(y - centre, of_y) - mean_norm(x - y, between)
        return jnp.asarray(self.unit) * norms

    def in_units(self, unit: float | np.ndarray) -> "EnergyDistance":
        """Landmarks and centre in the new units, in which norms are multiplied by them."""
        moved = replaced(super().in_units(unit), unit=_in_units(self.unit, 1 / unit))
        return moved if self.centre is None else replaced(moved, centre=_in_units(self.centre, unit))


class SlicedWasserstein(HilbertDistance):
    """Squared sliced 2-Wasserstein distance of sets (trials, trial_dim) (Bonneel et al. 2015).

    The mean over random directions of the squared 2-Wasserstein distance of the projected trials, which is the mean
    squared difference of the sorted projections.

    Args:
        n_projections: random directions (one-dimensional trials need and get a single one).
        seed: of the directions.
    """

    reads_sets: ClassVar[bool] = True
    framing: ClassVar[Framing] = "common"
    citations: ClassVar[tuple[str, ...]] = ("bonneel2015sliced",)

    unit: Float[Array | np.ndarray, ""]
    n_projections: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, n_projections: int = 32, seed: int = 0):
        if n_projections < 1:
            raise ValueError(f"n_projections must be 1 or more, got {n_projections}.")
        self.unit = np.ones((), np.float32)
        self.n_projections, self.seed = n_projections, seed
        self.name, self.units = "sliced_wasserstein", "squared data units"

    def features(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, " k"]:
        """Sorted projections over the root of their number, in data units."""
        projected = jnp.sort(x @ jnp.asarray(self.directions(x.shape[1]), x.dtype), axis=0)
        return jnp.asarray(self.unit) * projected.reshape(-1) / np.sqrt(projected.size)

    def directions(self, trial_dim: int) -> Float[np.ndarray, "trial_dim projections"]:
        """The directions on which trials are projected, each of length 1."""
        shape = (trial_dim, self.n_projections if trial_dim > 1 else 1)
        drawn = np.random.default_rng(self.seed).normal(size=shape)
        return drawn / np.linalg.norm(drawn, axis=0)

    def in_units(self, unit: float | np.ndarray) -> "SlicedWasserstein":
        """By what projections are multiplied."""
        return replaced(self, unit=_in_units(self.unit, 1 / unit))

    def self_term(self, x: Float[Array, "trials trial_dim"]) -> Float[Array, ""]:
        """Squared length of the features."""
        return jnp.sum(self.features(x) ** 2)

    def __call__(
        self, x: Float[Array, "trials trial_dim"], x_target: Float[Array, "trials trial_dim"]
    ) -> Float[Array, ""]:
        """The distance of one set to one set of as many trials."""
        return jnp.sum((self.features(x) - self.features(x_target)) ** 2)

    def check_target(self, x_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> None:
        """Raises ValueError unless both are sets of as many trials."""
        _check_set(self.name, x_shape)
        Distance.check_target(self, x_shape, target_shape)


def _checked(estimator: Estimator, max_landmarks: int, tolerance: float) -> tuple[Estimator, int, float]:
    if max_landmarks < 1:
        raise ValueError(f"max_landmarks must be 1 or more, got {max_landmarks!r}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}.")
    if estimator not in ("biased", "unbiased"):
        raise ValueError(f"estimator must be 'biased' or 'unbiased', got {estimator!r}.")
    return estimator, max_landmarks, tolerance


def _in_units(value: Array | np.ndarray, unit: float | np.ndarray) -> Array:
    """A value in data units in other ones."""
    return jnp.asarray(np.asarray(value, np.float64) / unit, jnp.float32)


def _norm(value: Float[Array, " n"]) -> Float[Array, ""]:
    # The gradient of a plain norm at 0 is NaN.
    square = jnp.sum(value**2)
    # A norm of NaN is NaN.
    return jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))


def mean_norm(value: Float[Array, " n"], variance: Float[Array, " n"]) -> Float[Array, ""]:
    """E||value + error|| with a normal error of these variances.

    ||z|| = sqrt(2 / pi) int_0^inf (1 - exp(-t^2 ||z||^2 / 2)) / t^2 dt, and the mean of the exponential is known. With
    t = exp(u) / length both ends fall exponentially, where equal steps are as good as exact.
    """
    length = jnp.sqrt(jnp.maximum(jnp.sum(value**2 + variance), 1e-30))
    u = np.arange(-5.0, 7.0, _STEP)
    t = jnp.asarray(np.exp(u), value.dtype)[:, None] / length
    widened = t**2 * variance[None]
    exponent = jnp.sum(jnp.log1p(widened) + t**2 * value[None] ** 2 / (1 + widened), axis=1) / 2
    inside = jnp.sum(-jnp.expm1(-exponent) * jnp.asarray(np.exp(-u), value.dtype)) * _STEP
    # Beyond the steps the integrand is t^2 length^2 / 2 on the left, and 1 on the right.
    ends = np.exp(u[0] - _STEP / 2) / 2 + np.exp(-(u[-1] + _STEP / 2))
    norm = np.sqrt(2 / np.pi) * length * (inside + ends)
    return jnp.where(jnp.sum(value**2 + variance) > 0, norm, 0.0)


def _some_trials(x: np.ndarray, most: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).permutation(all_trials(x).astype(np.float64))[:most]


def _rbf(bandwidth: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda a, b: np.exp(-np.sum((a[:, None] - b) ** 2, axis=2) / (2 * bandwidth**2))


def _with_landmarks(distance: K, trials: np.ndarray, kernel: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> K:
    """Pivoted Cholesky: take the trial farthest from the span of those taken until all are within the tolerance."""
    residual = np.array([kernel(trial[None], trial[None])[0, 0] for trial in trials])
    whole = residual.mean()
    enough = distance.tolerance * whole
    columns = np.zeros((0, len(trials)))
    chosen: list[int] = []
    while len(chosen) < min(distance.max_landmarks, len(trials)):
        pivot = int(np.argmax(residual))
        if residual[pivot] <= enough:
            break
        row = kernel(trials[[pivot]], trials)[0] - columns[:, pivot] @ columns
        columns = np.vstack([columns, row / np.sqrt(residual[pivot])])
        residual = np.maximum(residual - columns[-1] ** 2, 0.0)
        chosen.append(pivot)
    whitening = np.linalg.inv(columns[:, chosen].T)
    return replaced(
        distance,
        landmarks=jnp.asarray(trials[chosen], jnp.float32),
        whitening=jnp.asarray(whitening, jnp.float32),
        missed=jnp.asarray(residual.mean() / whole, jnp.float32),
    )


def _check_set(name: str, x_shape: tuple[int, ...]) -> None:
    if len(x_shape) != 2:
        raise ValueError(f"the distance {name!r} compares sets of trials (trials, trial_dim), got outputs {x_shape}.")
