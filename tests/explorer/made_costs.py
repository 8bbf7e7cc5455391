"""Costs of every form, made from random numbers instead of fitted: what is compared is arithmetic."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import genbayes as gb
from genbayes import distances as gbd
from genbayes.costs.corrected_spread import CorrectedSpread
from genbayes.costs.error_of_values import ErrorOfValues
from genbayes.costs.forms import HilbertForm, MarginalForm, NetworkForm
from genbayes.costs.frame import Frame
from genbayes.costs.noise_on_scales import NoiseOnScales
from genbayes.costs.spread_shares import SpreadShares
from genbayes.distances.sets import KernelDistance
from genbayes.distances.spread import OutputSpread
from genbayes.learning.corrected_mean import CorrectedMean
from genbayes.learning.distributions import LogisticMixture, TailTransform, TransformedMean
from genbayes.learning.embeddings import Embedding, PairNetwork, SetEmbedding, TimeSeriesEmbedding, VectorEmbedding
from genbayes.learning.folds import Folds
from genbayes.learning.layers import ResidualMLP, Standardiser, stack
from genbayes.learning.polynomial import Polynomial, features_to
from genbayes.learning.polynomial_means import RegressionData
from genbayes.learning.process_means import ProcessMean, processes_fitted
from genbayes.learning.reduced_rank import Directions
from genbayes.learning.ridge import RidgeResidual
from genbayes.learning.shared_noise import SharedNoise
from genbayes.learning.success import SuccessModel

PRIOR = gb.Prior(
    {"rate": dist.Uniform(0.5, 2.0), "size": dist.LogNormal(0.0, 0.5), "count": dist.DiscreteUniform(0, 3)}
)
THETA = np.asarray(PRIOR.sample(1000, seed=7))
LEVELS = {2: [0, 1, 2, 3]}
RNG = np.random.default_rng(0)


def network(in_size: int, out_size: int, *, cornered: float = 0.0) -> ResidualMLP:
    """A network whose last layer, which is 0 before training, is not."""
    made = ResidualMLP(in_size, out_size, 10, 2, cornered=cornered, rng=RNG)
    last = 0.3 * RNG.standard_normal(made.last.weight.shape)
    return eqx.tree_at(lambda m: (m.last.weight, m.last.bias), made, (last.astype(np.float32), last[:, 0].astype("f4")))


def standardiser() -> Standardiser:
    """Logarithms, integers and a step."""
    return Standardiser.fit(THETA, levels=LEVELS, steps={0: [1.2]})


def regression(k: int, *, networks: bool = False, links: bool = False, size: float = 0.3) -> RidgeResidual:
    """Two members that differ."""
    standardise = standardiser()
    basis, _, features = features_to(standardise.of_rows(THETA), 3, standardise.groups)
    width = standardise.of_rows(THETA).shape[1]
    slopes = size * RNG.standard_normal((2, k, features.shape[1])) / np.sqrt(features.shape[1])
    network_of_both = stack([network(width, k, cornered=0.4) for _ in range(2)]) if networks else None
    link = jnp.tile(jnp.asarray(np.arange(k) % 2, jnp.float32), (2, 1)) if links else None
    return RidgeResidual(
        stack([standardise] * 2),
        stack([basis] * 2),
        jnp.asarray(0.5 + RNG.standard_normal((2, k)) / 4, jnp.float32),
        jnp.asarray(slopes, jnp.float32),
        jnp.asarray(RNG.uniform(0.0, 0.3, (2, k)), jnp.float32),
        network_of_both,
        link,
        None if link is None else jnp.full((2, k), 1.0),
    )


def process(k: int) -> ProcessMean:
    """Outputs on scales of every kind, from runs of their own."""
    z = standardiser().of_rows(THETA)
    labels = RNG.poisson(np.exp(1 + 0.8 * z[:, :1] + 0.5 * np.sin(z[:, 1:2] + np.arange(k)))).astype(float) / 9
    labels[:, 0] -= 1
    data = RegressionData.of(
        THETA[:100], labels[:100], Folds.make(np.arange(100), gb.FitConfig(members=2), 0), standardiser()
    )
    processes = processes_fitted(data, SharedNoise.independent(100))
    assert processes is not None
    return processes.ensemble


def positive(k: int) -> RidgeResidual:
    """A spread."""
    return replace(regression(k), log_link=jnp.ones((2, k)), log_most=jnp.full((2, k), 1.5))


def shares(k: int) -> SpreadShares:
    """Shares of a spread that depend on the parameters."""
    squares = (1 + 0.3 * THETA[:, :1]) * RNG.uniform(0.5, 1.5, (1, k)) * RNG.chisquare(1, (1000, k))
    return SpreadShares.fit(standardiser(), THETA, squares, squares.sum(axis=1))


def outputs(*shape: int) -> np.ndarray:
    """Outputs of 300 runs."""
    return 3 + 2 * RNG.standard_normal((300, *shape))


def made(form: Any, distance: Any, x: np.ndarray, shared: Any = "nothing", **more: Any) -> gb.Cost:
    """A cost whose form reads outputs in the frame of x."""
    frame = Frame.of(x, shared, distance.output_transform)
    return gb.Cost(form, distance, PRIOR.names, x.shape[1:], frame=frame, **more)


def noise_on_scales(k: int) -> NoiseOnScales:
    """Powers of every kind, and a factor that varies."""
    level = jnp.asarray(RNG.uniform(0.1, 0.3, (2, k)), jnp.float32)
    power = jnp.tile(jnp.asarray(np.arange(k) % 3, jnp.float32), (2, 1))
    factor = regression(1, links=True)
    factor = replace(factor, log_link=jnp.ones((2, 1)), log_most=jnp.full((2, 1), 1.0))
    return NoiseOnScales(level, jnp.full((2, k), 0.05), power, factor)


def of_two_simulators(k: int) -> dict[str, Any]:
    """The mean and spread of a cheap simulator with their corrections, and shares of the spread."""
    correction = regression(k)
    mean = CorrectedMean(correction.standardise, process(k), correction)
    spread = CorrectedSpread(noise_on_scales(k), positive(1))
    return {"mean": mean, "spread": spread, "shares": shares(k)}


def of_features(distance: Any, k: int, shape: tuple[int, ...], shared: Any = "nothing", **parts: Any) -> gb.Cost:
    """The features form of a distance."""
    x = outputs(*shape) if distance.output_transform.name is None else np.abs(outputs(*shape))
    frame = Frame.of(x, shared, distance.output_transform)
    fitted = frame.moved(distance).fitted(frame(x))
    if isinstance(fitted, KernelDistance):
        assert fitted.landmarks is not None
        k = len(fitted.landmarks)
    mean = parts.pop("mean", None) or regression(k, networks=parts.pop("networks", False))
    spread = parts.pop("spread", None) or positive(1)
    form = HilbertForm(fitted, mean, spread, jnp.asarray(0.3), **parts)
    return made(form, frame.moved_back(fitted), x, shared)


def of_lines(prior: gb.Prior, theta: np.ndarray, x: np.ndarray) -> gb.Cost:
    """Squared error of outputs that are linear in the parameters, by least squares: a fit without networks."""
    distance = gbd.MeanSquaredError()
    standardise = Standardiser.fit(theta)
    z = standardise.of_rows(theta)
    design, features = np.column_stack([np.ones(len(z)), z]), x / np.sqrt(x.shape[1])
    halves = [np.linalg.lstsq(design[i::2], features[i::2], rcond=None)[0] for i in range(2)]
    squares = (features - design @ np.mean(halves, axis=0)) ** 2
    both = {"standardise": stack([standardise] * 2), "basis": stack([Polynomial.fit(z, 1)] * 2), "network": None}

    def ridge(coefficients: np.ndarray) -> RidgeResidual:
        ones = jnp.ones(coefficients[:, 0].shape)
        slopes = jnp.asarray(np.swapaxes(coefficients[:, 1:], 1, 2), jnp.float32)
        return RidgeResidual(intercept=jnp.asarray(coefficients[:, 0], jnp.float32), slopes=slopes, scale=ones, **both)

    spread = np.zeros((2, 1 + z.shape[1], 1))
    spread[:, 0] = squares.sum(axis=1).mean()
    own = SpreadShares.fit(standardise, theta, squares, np.full(len(z), squares.sum(axis=1).mean()))
    form = HilbertForm(distance, ridge(np.stack(halves)), ridge(spread), jnp.asarray(0.01), shares=own)
    return gb.Cost(form, distance, prior.names, x.shape[1:])


def marginal(distance: gbd.AdditiveDistance, error: Any = None, *, starts: bool = False) -> gb.Cost:
    """Four coordinates, two of them with heavy tails, and an error of measurement if one is given.

    `starts`: from a process, and from a spread that varies with the parameters.
    """
    x = outputs(4)
    x[:, 2:] += RNG.standard_cauchy((300, 2))
    frame = Frame.of(x, "nothing", distance.output_transform)
    spread = OutputSpread.of(frame(x))
    transform = TailTransform.fit(frame(x))
    members, mean, spreads = [], process(4) if starts else regression(4), positive(4) if starts else None
    width = standardiser().of_rows(THETA).shape[1]
    for member in range(2):
        location, own_spread = jax.tree.map(lambda leaf, m=member: leaf[m], (mean, spreads))
        if starts:
            location = TransformedMean(location.standardise, location, transform)
        scales = (jnp.full(4, 0.7), jnp.full(4, 0.01))
        members.append(LogisticMixture(transform, location, *scales, network(width, 4 * 3 * 3), own_spread))
    framed = frame.moved(distance).with_spread(spread)
    of_values = None if error is None else ErrorOfValues.of(frame(x), error(frame(x)))
    form = MarginalForm.of(stack(members), jnp.asarray(spread.deviation, jnp.float32), framed, of_values)
    return made(form, frame.moved_back(framed), x, spread=spread)


def general(kind: Any, shape: tuple[int, ...]) -> gb.Cost:
    """The general form with one of the embeddings."""
    x = outputs(*shape).astype(np.float32)
    members = []
    for _ in range(2):
        embedding: Embedding = kind(x, rng=RNG)
        standardise = standardiser()
        width = standardise.of_rows(THETA).shape[1]
        pair = PairNetwork(width, embedding, 10, 1, rng=RNG)
        members.append((standardise, eqx.tree_at(lambda p: p.network, pair, network(width + embedding.out_size, 1))))
    standardise, pairs = (stack([member[i] for member in members]) for i in range(2))
    form = NetworkForm(standardise, pairs, jnp.asarray([0.7, 1.3]))
    user = gbd.UserDistance(lambda a, b: jnp.mean((a - b) ** 2), name="mine", units="squared data units")
    return gb.Cost(form, user, PRIOR.names, x.shape[1:])


def success(*, networks: bool) -> SuccessModel:
    """A probability of success."""
    own = regression(1, networks=networks, size=1.5)
    standardise, basis = jax.tree.map(lambda leaf: leaf[0], (own.standardise, own.basis))
    return SuccessModel(standardise, basis, own.intercept[:, 0] + 1, own.slopes[:, 0], own.network)


def directions(k: int, r: int) -> Directions:
    """Orthonormal directions."""
    axes = np.linalg.qr(RNG.standard_normal((k, r)))[0]
    return Directions(jnp.asarray(RNG.standard_normal(k) / 9, jnp.float32), jnp.asarray(axes, jnp.float32))


def costs() -> dict[str, tuple[gb.Cost, np.ndarray]]:
    """A cost and an observation by name."""
    gap, long, trials = outputs(4)[0], outputs(14)[0], outputs(5, 2)[0]
    gap[1] = np.nan
    long_gap = np.where(np.arange(14) % 5 == 1, np.nan, long)
    squares = gbd.MeanSquaredError("prior_predictive", weights=[1.0, 2.0, 1.0, 0.5])
    polynomial = of_features(squares, 4, (4,), shares=shares(4))
    rooted = gbd.MeanSquaredError(transform="log1p")
    projected = of_features(rooted, 3, (14,), directions=directions(14, 3), shares=shares(14))
    linked = of_features(
        gbd.MeanSquaredError(), 4, (4,), mean=regression(4, networks=True, links=True), spread=positive(4)
    )
    absolute = marginal(gbd.MeanAbsoluteError("prior_predictive"))
    measured = marginal(gbd.MeanAbsoluteError("prior_predictive"), lambda x: np.full(x.shape, 0.3))
    in_part = marginal(gbd.HuberError(0.5, "median"), lambda x: 0.01 + 0.1 * np.abs(x))
    capped, huber = (
        gbd.CappedError(1.0, 2, "prior_predictive"),
        gbd.HuberError(0.5, "median", weights=[1.0, 2.0, 1.0, 0.0]),
    )
    return {
        "polynomial": (polynomial, outputs(4)[0]),
        "polynomial with a gap": (polynomial, gap),
        "directions": (projected, np.abs(long)),
        "directions with gaps": (projected, np.abs(long_gap)),
        "networks and links": (linked, outputs(4)[0]),
        "networks and links with a gap": (linked, gap),
        "process": (of_features(gbd.MeanSquaredError(), 4, (4,), mean=process(4), shares=shares(4)), outputs(4)[0]),
        "process with its noise": (
            of_features(gbd.MeanSquaredError(), 4, (4,), mean=process(4), spread=noise_on_scales(4)),
            gap,
        ),
        "two simulators": (of_features(gbd.MeanSquaredError(), 4, (4,), **of_two_simulators(4)), gap),
        "Mahalanobis": (of_features(gbd.Mahalanobis("prior_predictive"), 4, (4,)), outputs(4)[0]),
        "MMD": (of_features(gbd.MMD(max_landmarks=12), 12, (5, 2), "units"), trials),
        "energy": (of_features(gbd.EnergyDistance("unbiased", max_landmarks=12), 12, (5, 2), "units"), trials[:3]),
        "sliced": (of_features(gbd.SlicedWasserstein(n_projections=6), 30, (5, 2), "units"), trials),
        "absolute": (absolute, outputs(4)[0]),
        "absolute from a process": (
            marginal(gbd.MeanAbsoluteError("prior_predictive"), starts=True),
            outputs(4)[0],
        ),
        "capped": (absolute.with_distance(capped), outputs(4)[0]),
        "Huber with a gap": (absolute.with_distance(huber), gap),
        "squares of marginals": (absolute.with_distance(gbd.MeanSquaredError("prior_predictive")), outputs(4)[0]),
        "absolute with an error": (measured, outputs(4)[0]),
        "Huber with an error of its values and a gap": (in_part, gap),
        "general vector": (general(VectorEmbedding, (4,)), outputs(4)[0]),
        "general set": (general(SetEmbedding, (5, 2)), trials),
        "general series": (general(TimeSeriesEmbedding, (40, 2)), outputs(40, 2)[0]),
        "conditioned on success": (replace(polynomial, success=success(networks=True)), outputs(4)[0]),
        "penalised": (replace(polynomial, success=success(networks=False), penalty=1.5), outputs(4)[0]),
    }
