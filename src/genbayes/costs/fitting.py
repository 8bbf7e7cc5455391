"""`fit_cost`: simulations + distance -> Cost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from ..distances import AdditiveDistance, Distance
from ..distances.additive import CoordinateDistance, one_observation
from ..distances.base import CostKind, class_names
from ..distances.batched import paired_distances
from ..distances.spread import OutputSpread
from ..learning.embeddings import Embedding, VectorEmbedding
from ..learning.success import SuccessModel, fit_success
from ..learning.training import FitConfig, FitRecord
from ..runtime.counts import checked_count
from ..runtime.outcome import Outcome
from ..runtime.program_memory import make_room
from ..runtime.seeds import check_seed
from ..simulations.rows import Simulations
from ..simulations.store import PENDING
from .cost import Cost, Observed
from .failing_runs import Failures, checked_failures
from .fit_general import GENERAL_CONFIG, EmbeddingName, embedding_class
from .fit_marginal import MARGINAL_CONFIG
from .fit_memory import need_memory_for_fit
from .form_fit import FormFit
from .frame import Frame
from .held_out import HeldOutRows
from .measured import MeasurementError
from .named_observations import as_vector
from .outlying_runs import outlying_runs
from .paired_runs import PairedRows, pairs_of
from .row_errors import NO_ERRORS, row_errors
from .settings import fit_settings
from .store_rows import ROWS_IN_MEMORY, StorePart, StoreRows, rows_to_fit
from .training_rows import TrainingRows
from .unequal_sets import check_unequal_sets

Method = Literal["auto", "marginal", "general"]
# Least and, inverted, greatest distance that single precision holds with a margin for sums and squares.
_LEAST = 1e-32


def fit_cost(
    simulations: Simulations | tuple[Any, Any] | str | Path | StorePart,
    distance: Distance,
    *,
    seed: int = 0,
    config: FitConfig | None = None,
    method: Method = "auto",
    embedding: EmbeddingName = "auto",
    progress: bool = True,
    start: Cost | None = None,
    failures: Failures = "condition",
    x_o: Observed | None = None,
    cheap: Simulations | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
    measurement_error: Any = None,
) -> Cost:
    """Learns the expected distance to any observation from simulations alone (Gao, Deistler, Macke 2023).

    A distance with a feature map is learned by regressing the features (exact in the observation, however far it lies
    from the simulations); an additive one through the marginal distributions of the output's coordinates; any other
    through an emulator of the outputs (their mean, and scaled residuals of other runs) or by a network of parameter and
    observation, whichever predicts unseen outputs better.

    Args:
        simulations: at least a few hundred; what is learned of outputs is learned from the rows that succeeded. Or the
            path (or address) of a store, which may be larger than the memory. Or arrays (theta, x), as
            `Simulations.from_arrays` takes them; parameters bear the names of a DataFrame, else theta_0, theta_1, ...
        distance: from `genbayes.distances`.
        seed: of folds, first weights and batches.
        config: see `FitConfig`; if not given, that of `default_config`.
        method: "auto", or "marginal": the distributions of the output's coordinates, for any additive distance, which
            `Cost.with_distance` then exchanges without a new fit; or "general": the general network alone, even
            where the distance has a structure to use.
        embedding: how the general network reads an observation: as a "vector", as a "set" of trials
            (trials, trial_dim) or as a time "series" (time, channels); "auto" where the shape or the distance decides.
        progress: show progress bars.
        start: a cost of fewer simulations with the same configuration, whose networks the training goes on from
            (marginal and general costs; a feature cost is fitted anew, in seconds).
        failures: what becomes of parameters at which runs fail. "condition": the cost is E[d | theta, success], and
            posteriors multiply their prior by P(success | theta), which is learned as well: the answer is that of a
            simulator that has succeeded. A number: a failing run is a run at that distance, in its units, and the cost
            is E[d | theta, success] P(success | theta) + failures (1 - P(success | theta)). "ignore": the cost is
            E[d | theta, success] alone, and extrapolates to where no run has succeeded.
        x_o: one observation, for a distance with scale="observation" and no other: the scale suits it, and is the same
            for all observations that the cost is asked about.
        cheap: runs of a cheaper simulator of the same quantities, some of them at the parameters of `simulations` (with
            the same prior and seed, the first ones are): the cost is learned from them, and corrected by the pairs. For
            distances with a feature map.
        rows_in_memory: of a store with more rows so many are fitted in memory, which settles frame, scale, degrees,
            weights, steps and the probability of success; polynomials are then solved for over all rows, in one pass,
            and networks are trained on all in shuffled blocks. A fit in memory takes some kilobytes a row.
        measurement_error: standard deviation of independent normal errors that an observation has and simulations have
            not, in data units: one number, one per coordinate, a mapping from names of outputs, a text such as "10 %"
            of each value, or a function of one output. The cost is then E[d(x + error, x_o) | theta]. Squared errors
            and Mahalanobis distances without a transform get the exact expectation, which is a variance; for all others
            errors are added to the stored outputs. Nothing is simulated again. Rules for beta and checks add the error
            to whatever they run or read. For a simulator that has it already (`with_measurement_error`) it is refused.

    Returns:
        The cost; `cost.outcome` says whether training went well.

    Raises:
        ValueError: too few simulations, or the distance does not fit their outputs or the method; outputs for which
            its transform is not defined; x_o is missing, or given where it is not used; or failures is another text or
            a distance that is negative or not finite.
        TypeError: simulations, distance or failures are something else.
        MemoryError: so many simulations surely do not fit into the memory that is there.

    Example:
        >>> cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(scale="prior_predictive"))
        >>> cost(theta, x_o)
        >>> cost = gb.fit_cost("runs.zarr", gb.distances.MeanSquaredError())  # of ten million rows, say
    """
    _check_arguments(simulations, distance, x_o)
    if isinstance(simulations, tuple):
        simulations = Simulations.from_arrays(*simulations)
    rows_in_memory = checked_count("rows_in_memory", rows_in_memory, least=100)
    with rows_to_fit(simulations, rows_in_memory) as (rows, store):
        return _fit_rows(
            rows,
            store,
            distance,
            seed=seed,
            config=config,
            method=method,
            embedding=embedding,
            progress=progress,
            start=start,
            failures=failures,
            x_o=x_o,
            cheap=cheap,
            measurement_error=measurement_error,
        )


def _fit_rows(
    simulations: Simulations,
    store: StoreRows | None,
    distance: Distance,
    *,
    seed: int,
    config: FitConfig | None,
    method: Method,
    embedding: EmbeddingName,
    progress: bool,
    start: Cost | None,
    failures: Failures,
    x_o: Observed | None,
    cheap: Simulations | None,
    measurement_error: Any,
) -> Cost:
    """`fit_cost` of the rows in memory and, where these are a part of them, all rows of a store."""
    _check_start(start, distance)
    make_room()
    way, penalty = checked_failures(failures, distance.units)
    kind = cost_kind(distance, method)
    config = default_config(distance, method) if config is None else config
    seed = check_seed(seed)
    distance.check_target(simulations.x_shape, simulations.x_shape)
    if isinstance(distance, AdditiveDistance):
        distance = distance.with_outputs(simulations.outputs)
    x_o = None if x_o is None else as_vector(x_o, simulations.outputs)
    pairs = None if cheap is None else pairs_of(simulations, cheap, kind, distance, store is not None)
    need_memory_for_fit(simulations if pairs is None else pairs.others, kind)
    exact = runs = simulations if pairs is None else pairs.dear
    error = None
    if measurement_error is not None:
        if store is not None:
            raise ValueError(
                f"measurement_error is for simulations in memory, and the store has {store.blocks.rows:,} rows: fit on "
                "fewer, fit_cost(Simulations.open(path, n=100_000), ...), or let the simulator have the error, "
                "with_measurement_error(simulator, sd)."
            )
        error = MeasurementError.of(measurement_error, runs)
        runs = error.added_to(runs)
    folds = None if store is None else store.folds(simulations, config, seed)
    data = TrainingRows.of(
        runs, config, seed, share_numbers=kind == "features", resampled=kind == "general", folds=folds
    )
    names_of = None if simulations.outputs is None else simulations.outputs.coordinates
    distance.output_transform.check(data.x, "the outputs of simulations", data.rows, names_of)
    reader = embedding_class(embedding, distance, simulations.x_shape) if kind == "general" else None
    if simulations.unequal_sets:
        check_unequal_sets(distance, reader, data.x)
    frame = _frame(data, distance, reader) if start is None else start.frame
    x, x_of_prior = frame(data.x), frame(data.x_of_prior)
    framed = _in_frame(distance, frame, x_of_prior, x_o, names_of)
    spread = OutputSpread.of(x_of_prior) if isinstance(distance, CoordinateDistance) else None
    _check_range(framed, distance.units, x_of_prior)
    errors = NO_ERRORS
    if error is not None:
        errors = row_errors(error, exact.x[data.rows], frame, framed, kind, corrected=pairs is not None)
        x = x if errors.x is None else errors.x
    paired = None if pairs is None else PairedRows.of(pairs, data, frame, seed, config)
    stream = None if store is None else store.stream(config, seed, frame)
    rng = np.random.default_rng(seed)
    fitted = FormFit(data, x, framed, spread, runs, config, rng, progress, start, paired, stream, errors)
    form, fit, unseen = fitted.of_kind(kind, reader, emulated=method == "auto")
    names = (simulations.names, simulations.x_shape)
    success, record = _success(simulations, way, seed=seed, progress=progress)
    ran = simulations.status != PENDING
    failed = None if penalty is None or success is None else simulations.inputs[ran & ~simulations.ok]
    held_out = HeldOutRows.of(data.theta, data.x, unseen, failed)
    # Where runs fail, it is known that they do.
    seen = data.theta if success is None else simulations.inputs[ran]
    if pairs is not None:
        seen = np.concatenate([seen, pairs.others.inputs])
    settings = fit_settings(simulations, seen, config, seed, form)
    if store is not None:
        settings |= store.told(with_failed=success is not None)
    settings |= {"method": method, "embedding": embedding, "failures": way if penalty is None else penalty}
    settings["deterministic"] = runs.deterministic
    if simulations.outputs is not None:
        settings["outputs"] = simulations.outputs.stored
    if pairs is not None:
        settings["cheap"] = {"simulator": pairs.partners.simulator, "pairs": len(runs), "others": len(pairs.others)}
    if x_o is not None:
        settings["scale_observation"] = np.asarray(x_o, np.float64).reshape(-1).tolist()
    garbage = outlying_runs(distance, data.theta, data.x, names_of)
    fit = (replace(fit[0], outcome=Outcome.joined([fit[0].outcome, garbage])), *fit[1:])
    fit = fit if record is None else (*fit, record)
    known, conditions = frame.moved_back(framed), simulations.condition_names
    made = Cost(form, known, *names, fit, settings, conditions, held_out, success, frame, spread, penalty)
    return replace(made, measurement_error=error)


def _in_frame(
    distance: Distance,
    frame: Frame,
    x_of_prior: Float[np.ndarray, "n *x_shape"],
    x_o: np.ndarray | None,
    names: Sequence[str] | None,
) -> Distance:
    """The distance of outputs in a frame, with what it takes from simulations (in the frame) and the observation."""
    framed = frame.moved(distance)
    if isinstance(framed, AdditiveDistance) and x_o is not None:
        # What is wrong with an observation is said in its own numbers.
        return framed.fitted(x_of_prior, frame(one_observation(x_o, x_of_prior.shape[1:], frame.transform)), names)
    return framed.fitted(x_of_prior, names=names) if isinstance(framed, AdditiveDistance) else framed.fitted(x_of_prior)


def _frame(data: TrainingRows, distance: Distance, reader: type[Embedding] | None) -> Frame:
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
    shared = "units" if distance.framing == "common" else "nothing" if in_order else "place"
    return Frame.of(data.x_of_prior, shared, distance.output_transform)


def _check_range(distance: Distance, units: str, x: Float[np.ndarray, "n *x_shape"]) -> None:
    """ValueError where distances of simulated outputs leave the range of single precision."""
    some = x[: 2 * (min(len(x), 256) // 2)]
    typical = paired_distances(distance, some[::2], some[1::2]).astype(np.float64)
    largest = float(np.max(typical, initial=0.0))
    small = "squared data" in units or "squared differences" in units
    vanished = largest == 0 and small and bool(np.any(some[::2] != some[1::2]))
    if np.all(np.isfinite(typical)) and (_LEAST < largest < 1 / _LEAST or (largest == 0 and not vanished)):
        return
    raise ValueError(
        f"distances of simulated outputs by {distance.name} (in {units}) are of the order {largest:.3g}, which "
        f"single precision does not hold: it needs {_LEAST:g} to {1 / _LEAST:g}. Give the distance a scale "
        "(such as scale='prior_predictive'), or measure the outputs in other units."
    )


def _success(
    simulations: Simulations, way: str, *, seed: int, progress: bool
) -> tuple[SuccessModel | None, FitRecord | None]:
    """The probability of success where some runs failed; two of one kind say nothing of where."""
    ran = simulations.status != PENDING
    if way == "ignore" or np.sum(ran & ~simulations.ok) < 3:
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


def _check_arguments(simulations: Any, distance: Distance, x_o: Observed | None) -> None:
    if not isinstance(simulations, Simulations | str | Path | StorePart | tuple):
        raise TypeError(
            f"fit_cost takes (simulations, distance), got {type(simulations).__name__} as simulations: give "
            "Simulations, arrays (theta, x), or the path of a store."
        )
    if isinstance(simulations, tuple) and len(simulations) != 2:
        raise TypeError(
            f"fit_cost takes arrays as a pair (theta, x), got {len(simulations)} of them. With a prior or conditions: "
            "Simulations.from_arrays(theta, x, prior=prior)."
        )
    if isinstance(simulations, Simulations) and simulations.sampled_from is not None:
        raise ValueError(
            f"simulations are a sample of {len(simulations):,} of the {simulations.sampled_from.rows:,} rows of a "
            "store: give fit_cost the path of the store, which it goes through in blocks."
        )
    if isinstance(distance, type):
        raise TypeError(f"distance is the class {distance.__name__}; make one of it: {distance.__name__}().")
    if not isinstance(distance, Distance):
        raise TypeError(
            f"distance must come from genbayes.distances, got {type(distance).__name__}; wrap a function as "
            "genbayes.distances.UserDistance(function, name=..., units=...)."
        )
    if x_o is None and distance.needs_observation:
        raise ValueError(
            "scale='observation' takes the scale from simulations near the observation: give it, as fit_cost(..., "
            "x_o=x_o), or take scale='median', which needs none."
        )
    if x_o is not None and not distance.needs_observation:
        raise ValueError(
            "x_o is for a distance with scale='observation' whose scale has yet to be taken, and this one has another: "
            "leave x_o out, for a cost is for any observation, and give it to GibbsPosterior."
        )


def _check_start(start: Cost | None, distance: Distance) -> None:
    """Networks go on only where they read the same outputs."""
    if start is not None and start.frame.transform.name != distance.output_transform.name:
        raise ValueError(
            f"start was fitted with transform={start.frame.transform.name!r}, and the distance has transform="
            f"{distance.output_transform.name!r}: give the same one, or leave start out."
        )
