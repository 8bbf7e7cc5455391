"""`fit_cost`: simulations + distance -> Cost."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from ..distances import AdditiveDistance, Distance, HilbertDistance
from ..distances.additive import spread_of
from ..distances.base import CostKind, class_names
from ..distances.batched import paired_distances
from ..learning.embeddings import Embedding, VectorEmbedding
from ..learning.folds import Folds
from ..learning.shared_noise import SharedNoise, grouped
from ..learning.success import SuccessModel, fit_success
from ..learning.training import FitConfig, FitRecord
from ..runtime.seeds import check_seed
from ..simulations.rows import Simulations
from ..simulations.store import PENDING
from .cost import Cost
from .fit_features import fit_features
from .fit_general import GENERAL_CONFIG, EmbeddingName, embedding_class, fit_general
from .fit_marginal import MARGINAL_CONFIG, fit_marginal
from .forms import MarginalForm, NetworkForm
from .frame import Frame
from .held_out import HeldOutRows

Method = Literal["auto", "marginal", "general"]
Failures = Literal["condition", "ignore"]
# Least and, inverted, greatest distance that single precision holds with a margin for sums and squares.
_LEAST = 1e-32


def fit_cost(
    simulations: Simulations,
    distance: Distance,
    *,
    seed: int = 0,
    config: FitConfig | None = None,
    method: Method = "auto",
    embedding: EmbeddingName = "auto",
    progress: bool = True,
    start: Cost | None = None,
    failures: Failures = "condition",
) -> Cost:
    """Learns the expected distance to any observation from simulations alone (Gao, Deistler, Macke 2023).

    A distance with a feature map is learned by regressing the features (exact in the observation, however far it lies
    from the simulations); an additive one through the marginal distributions of the output's coordinates; any other by
    a network of parameter and observation.

    Args:
        simulations: at least a few hundred; failed rows are left out, so the cost is E[d | theta, success].
        distance: from `genbayes.distances`.
        seed: of folds, first weights and batches.
        config: see `FitConfig`; if not given, that of `default_config`.
        method: "auto", or "marginal": the distributions of the output's coordinates, for any additive distance, which
            `Cost.with_distance` then exchanges without a new fit; or "general": the general network even where the
            distance has a structure to use.
        embedding: how the general network reads an observation: as a "vector", as a "set" of trials
            (trials, trial_dim) or as a time "series" (time, channels); "auto" where the shape or the distance decides.
        progress: show progress bars.
        start: a cost of fewer simulations with the same configuration, whose networks the training goes on from
            (marginal and general costs; a feature cost is fitted anew, in seconds).
        failures: what becomes of parameters at which runs fail. The cost is E[d | theta, success]; "condition" also
            learns P(success | theta), by which posteriors multiply their prior: the answer is then that of a simulator
            that has succeeded. "ignore" leaves it out, and the cost extrapolates to where no run has succeeded.

    Returns:
        The cost; `cost.outcome` says whether training went well.

    Raises:
        ValueError: too few simulations, or the distance does not fit their outputs or the method.
        TypeError: simulations or distance are something else.

    Example:
        >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(scale="prior_predictive"))
        >>> cost(theta, x_o)
    """
    _check_arguments(simulations, distance)
    kind = cost_kind(distance, method)
    config = default_config(distance, method) if config is None else config
    seed = check_seed(seed)
    distance.check_target(simulations.x_shape, simulations.x_shape)
    data = _Training.of(simulations, config, seed, share_numbers=kind == "features")
    reader = embedding_class(embedding, distance, simulations.x_shape) if kind == "general" else None
    frame = _frame(data, distance, reader) if start is None else start.frame
    x, x_of_prior = frame(data.x), frame(data.x_of_prior)
    in_frame = distance.framing != "none"
    framed = (distance.in_units(frame.unit) if in_frame else distance).fitted(x_of_prior)
    _check_range(framed, distance.units, x_of_prior)
    before = None if start is None else start.form
    rng, levels = np.random.default_rng(seed), simulations.levels
    if kind == "features" and isinstance(framed, HilbertDistance):
        form, fit = fit_features(
            data.theta, x, framed, data.folds, config, noise=data.noise, rng=rng, progress=progress, levels=levels
        )
    elif kind == "marginal" and isinstance(framed, AdditiveDistance):
        form, fit = fit_marginal(
            data.theta,
            x,
            framed,
            data.folds,
            config,
            rng=rng,
            progress=progress,
            spread=spread_of(x_of_prior),
            start=before if isinstance(before, MarginalForm) else None,
            levels=levels,
        )
    else:
        form, fit = fit_general(
            data.theta,
            x,
            framed,
            embedding_class(embedding, distance, simulations.x_shape),
            data.folds,
            config,
            rng=rng,
            progress=progress,
            noise_id=simulations.noise_id[data.rows],
            start=before if isinstance(before, NetworkForm) else None,
            levels=levels,
        )
    held_out = HeldOutRows.of(data.theta, data.x, data.noise.rows(data.folds.validation))
    names = (simulations.names, simulations.x_shape)
    success, record = _success(simulations, failures, seed=seed, progress=progress)
    # Where runs fail, it is known that they do.
    seen = data.theta if success is None else simulations.inputs[simulations.status != PENDING]
    settings = _settings_of(simulations, seen, config, seed, type(form).__name__)
    settings |= {"method": method, "embedding": embedding, "failures": failures}
    fit = fit if record is None else (*fit, record)
    known = framed.in_units(1 / frame.unit) if in_frame else framed
    return Cost(form, known, *names, fit, settings, simulations.condition_names, held_out, success, frame)


def _frame(data: "_Training", distance: Distance, reader: type[Embedding] | None) -> Frame:
    """Where outputs are for the networks, as far as the distance allows.

    Raises:
        ValueError: outputs need double precision, and the distance reads them as they are.
    """
    if distance.framing == "none":
        if data.x.dtype == np.float64:
            raise ValueError(
                f"the outputs need double precision, for what varies in them is small beside their size, and the "
                f"distance {distance.name!r} is computed in single precision from the outputs as they are. Subtract a "
                "constant of their size in the simulator and from the observation, choose other units, or use a "
                "distance of genbayes.distances, all of which depend on differences alone."
            )
        return Frame.none()
    in_order = reader is None or issubclass(reader, VectorEmbedding)
    return Frame.of(data.x_of_prior, "units" if distance.framing == "common" else "nothing" if in_order else "place")


def _check_range(distance: Distance, units: str, x: Float[np.ndarray, "n *x_shape"]) -> None:
    """ValueError where distances of simulated outputs leave the range of single precision."""
    some = x[: 2 * (min(len(x), 256) // 2)]
    typical = paired_distances(distance, some[::2], some[1::2]).astype(np.float64)
    largest = float(np.max(typical, initial=0.0))
    vanished = largest == 0 and units == "squared data units" and bool(np.any(some[::2] != some[1::2]))
    if np.all(np.isfinite(typical)) and (_LEAST < largest < 1 / _LEAST or (largest == 0 and not vanished)):
        return
    raise ValueError(
        f"distances of simulated outputs by {distance.name} (in {units}) are of the order {largest:.3g}, which "
        f"single precision does not hold: it needs {_LEAST:g} to {1 / _LEAST:g}. Give the distance a scale "
        "(scale='prior_predictive'), or measure the outputs in other units."
    )


def _success(
    simulations: Simulations, failures: Failures, *, seed: int, progress: bool
) -> tuple[SuccessModel | None, FitRecord | None]:
    """The probability of success where some runs failed; two of one kind say nothing of where."""
    if failures not in get_args(Failures):
        raise ValueError(f"failures must be one of {', '.join(map(repr, get_args(Failures)))}, got {failures!r}.")
    ran = simulations.status != PENDING
    if failures == "ignore" or np.sum(ran & ~simulations.ok) < 3:
        return None, None
    inputs = np.asarray(simulations.inputs[ran], np.float32)
    return fit_success(inputs, simulations.ok[ran], seed=seed, levels=simulations.levels, progress=progress)


def default_config(distance: Distance, method: Method = "auto") -> FitConfig:
    """What `fit_cost` takes where no configuration is given: for features, marginal distributions or the general cost.

    Start from it to change a single setting: `dataclasses.replace(default_config(distance), members=8)`.
    """
    return {"features": FitConfig(), "marginal": MARGINAL_CONFIG, "general": GENERAL_CONFIG}[
        cost_kind(distance, method)
    ]


def cost_kind(distance: Distance, method: str) -> CostKind:
    """The kind of cost that is fitted of a distance: "auto" takes the first of `distance.learned_by`.

    Raises:
        ValueError: there is no such method, or the distance has not the structure that it needs.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(map(repr, get_args(Method)))}, got {method!r}.")
    if method == "auto":
        return distance.learned_by[0]
    if method == "marginal":
        if "marginal" not in distance.learned_by:
            raise ValueError(
                f"method='marginal' takes an additive distance ({class_names(AdditiveDistance)}), and {distance.name} "
                "is none: choose one of these, or method='auto'."
            )
        return "marginal"
    return "general"


def _check_arguments(simulations: Simulations, distance: Distance) -> None:
    if not isinstance(simulations, Simulations):
        raise TypeError(f"fit_cost takes (simulations, distance), got {type(simulations).__name__} as simulations.")
    if isinstance(distance, type):
        raise TypeError(f"distance is the class {distance.__name__}; make one of it: {distance.__name__}().")
    if not isinstance(distance, Distance):
        raise TypeError(
            f"distance must come from genbayes.distances, got {type(distance).__name__}; wrap a function as "
            "genbayes.distances.UserDistance(function, name=..., units=...)."
        )


@dataclass(frozen=True, eq=False)
class _Training:
    """What the networks are fitted on.

    Attributes:
        rows: (n,), which simulations these are.
        theta: (n, dim), parameters, with known conditions behind them.
        x: (n, *x_shape), outputs, in data units.
        noise: which rows share random numbers.
        folds: units of rows of each ensemble member.
        x_of_prior: outputs of training rows that are draws of the prior.
    """

    rows: Int[np.ndarray, " n"]
    theta: Float[np.ndarray, "n dim"]
    x: Float[np.ndarray, "n *x_shape"]
    noise: SharedNoise
    folds: Folds
    x_of_prior: Float[np.ndarray, "prior_rows *x_shape"]

    @classmethod
    def of(cls, simulations: Simulations, config: FitConfig, seed: int, *, share_numbers: bool) -> "_Training":
        """The simulations that succeeded; rows that share random numbers stand together where that is to be used."""
        rows = np.flatnonzero(simulations.ok)
        noise = SharedNoise.independent(len(rows))
        if share_numbers:
            order, noise = grouped(simulations.round[rows], simulations.noise_block[rows])
            rows = rows[order]
        theta = np.asarray(simulations.inputs[rows], np.float32)
        x = simulations.x[rows]
        round_of_row = simulations.round[rows]
        folds = Folds.of_rounds(round_of_row[:: noise.size], config, seed)
        # The scale is that of draws of the prior alone: refinement must not change what a unit of the distance means.
        used = noise.rows(np.unique(folds.train))
        return cls(rows, theta, x, noise, folds, x[used[round_of_row[used] == round_of_row.min()]])


def _runs_at_levels(simulations: Simulations) -> dict[str, list[list[int]]]:
    """Of every integer of few values: each value with the number of runs that succeeded there."""
    names, inputs = (*simulations.names, *simulations.condition_names), simulations.inputs[simulations.ok]
    return {
        names[j]: [[int(value), int(np.sum(inputs[:, j] == value))] for value in values]
        for j, values in simulations.levels.items()
    }


def _settings_of(
    simulations: Simulations, inputs: Float[np.ndarray, "n dim"], config: FitConfig, seed: int, form: str
) -> dict[str, Any]:
    """How the cost was fitted, as plain values that are stored with it."""
    dim = len(simulations.names)
    ranges = [inputs.min(axis=0).tolist(), inputs.max(axis=0).tolist()]
    return {
        "seed": seed,
        "simulations": len(simulations),
        "simulations_prior": int(np.sum(simulations.round == 0)),
        "simulations_failed": simulations.n_failed,
        "rounds": int(simulations.round.max(initial=0)),
        "simulation_seed": simulations.seed,
        "simulator": simulations.simulator,
        "prior": simulations.prior,
        "theta_range": [limit[:dim] for limit in ranges],
        "conditions_range": [limit[dim:] for limit in ranges],
        "conditions_prior": simulations.conditions_prior,
        "runs_at_levels": _runs_at_levels(simulations),
        "config": asdict(config),
        "form": form,
    }
