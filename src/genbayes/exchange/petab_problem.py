"""PEtab problems: priors, measurements and noise from the tables, the model from the user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..distances import MeanAbsoluteError, MeanSquaredError
from ..priors.prior import Prior
from .petab_tables import Formula, Tables, log_slope, number_or_name, prior_of, read_tables, to_scale

Model = Callable[[dict[str, float], dict[str, Any], np.ndarray], Mapping[str, Any]]


@dataclass(frozen=True)
class Measured:
    """The measurements of one observable under one condition, which are one named output.

    Attributes:
        name: of the output: the observable's, with the condition where there are several.
        observable: its identifier.
        condition: its identifier.
        times: (k,), as measured; a time may occur twice.
        values: (k,), in data units.
        scale: on which the noise is added: "lin", "log" or "log10".
        law: of the noise, "normal" or "laplace".
        sigma: the formula of the noise.
        placeholders: for each measurement, what stands for `noiseParameter1_...`: numbers or names of parameters.
    """

    name: str
    observable: str
    condition: str
    times: np.ndarray
    values: np.ndarray
    scale: str
    law: str
    sigma: Formula
    placeholders: tuple[tuple[float | str, ...], ...]

    def deviations(self, values: np.ndarray, parameters: Mapping[str, float]) -> np.ndarray:
        """The scale of the noise of each measurement (k,), given the observable's values there."""
        found = []
        for value, given in zip(values, self.placeholders, strict=True):
            own = {
                f"noiseParameter{i + 1}_{self.observable}": parameters[part] if isinstance(part, str) else part
                for i, part in enumerate(given)
            }
            found.append(self.sigma({**parameters, **own, self.observable: value}))
        return np.array(found)

    def sources(self) -> set[str]:
        """The names that the noise depends on: parameters, and the observable itself."""
        named = {part for given in self.placeholders for part in given if isinstance(part, str)}
        return named | {name for name in self.sigma.names if not name.startswith("noiseParameter")}


@dataclass(frozen=True, eq=False, repr=False)
class PetabProblem:
    """What `from_petab` reads.

    Attributes:
        prior: over the estimated parameters, in their own units and cut at their bounds.
        x_o: the measurements, on the scale on which their noise is added (the logarithm of an observable with
            observableTransformation log or log10), by the names of the outputs.
        times: when each was measured.
        measured: the outputs with their noise.
        fixed: the parameters with known values.
        conditions: the rows of the condition table.
        function: the user's model.
    """

    prior: Prior
    x_o: dict[str, np.ndarray]
    times: dict[str, np.ndarray]
    measured: tuple[Measured, ...]
    fixed: dict[str, float]
    conditions: dict[str, dict[str, Any]]
    function: Model

    def __repr__(self) -> str:
        count = sum(len(one.values) for one in self.measured)
        return f"PetabProblem({count} measurements of {', '.join(self.x_o)}; {self.prior!r})"

    @property
    def simulator(self) -> Callable[[Any, np.random.Generator], dict[str, np.ndarray]]:
        """The model with the noise of its formulas, `simulator(theta, rng)` for `gb.simulate`."""

        def with_noise(theta: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
            parameters = self._parameters(theta)
            outputs = {}
            for one, values in self._values(parameters):
                draw = rng.standard_normal if one.law == "normal" else rng.laplace
                noise = one.deviations(values, parameters) * draw(size=len(values))
                outputs[one.name] = to_scale(values, one.scale) + noise
            return outputs

        return with_noise

    @property
    def model(self) -> Callable[[Any, np.random.Generator], dict[str, np.ndarray]]:
        """The model without noise, in the same form."""

        def without_noise(theta: Any, rng: Any) -> dict[str, np.ndarray]:
            return {one.name: to_scale(values, one.scale) for one, values in self._values(self._parameters(theta))}

        return without_noise

    @property
    def distance(self) -> MeanSquaredError | MeanAbsoluteError:
        """Mean squared error in units of the noise, or mean absolute error where the noise is Laplace.

        Noise that depends on the observable's value is taken at the measured one.

        Raises:
            ValueError: some noise is normal and some Laplace.
        """
        laws = {one.law for one in self.measured}
        if len(laws) > 1:
            raise ValueError(
                "some noise is normal and some Laplace, for which no single distance stands. Choose one yourself, such "
                "as gb.distances.HuberError(3.0, problem.noise_scale())."
            )
        kind = MeanSquaredError if laws == {"normal"} else MeanAbsoluteError
        return kind(self.noise_scale())

    def noise_scale(self) -> np.ndarray:
        """The scale of the noise of every measurement, at its measured value, in the order of the outputs."""
        parts = []
        for one in self.measured:
            # A missing value has none; it is compared with nothing.
            known = np.where(np.isnan(one.values), np.nanmean(one.values), one.values)
            parts.append(one.deviations(known, self.fixed))
        return np.concatenate(parts)

    @property
    def beta(self) -> float:
        """The inverse temperature at which the Gibbs posterior is Bayes': half the number of values, or all (Laplace).

        With normal noise the simulations may be those of `simulator` or `model`, with Laplace noise of `model`.

        Raises:
            ValueError: the noise depends on the observable's value, where no beta makes it Bayes'.
        """
        count = sum(int(np.isfinite(one.values).sum()) for one in self.measured)
        for one in self.measured:
            if one.observable in one.sources():
                raise ValueError(
                    f"the noise of {one.observable} depends on its value: no beta makes the Gibbs posterior Bayes'. "
                    "Choose beta by gb.temperature (docs/temperature.md)."
                )
        return count / 2 if isinstance(self.distance, MeanSquaredError) else float(count)

    def log_likelihood(self, theta: Any) -> float:
        """PEtab's log-likelihood of the measurements at one parameter vector (dim,), in their own units."""
        parameters = self._parameters(np.asarray(theta, np.float64))
        total = 0.0
        for one, values in self._values(parameters):
            seen = np.isfinite(one.values)
            sigma = one.deviations(values, parameters)[seen]
            z = (to_scale(one.values, one.scale) - to_scale(values, one.scale))[seen] / sigma
            log_density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) if one.law == "normal" else -np.abs(z) - np.log(2.0)
            total += float(np.sum(log_density - np.log(sigma) + log_slope(one.values[seen], one.scale)))
        return total

    def _parameters(self, theta: Any) -> dict[str, float]:
        """All parameters by their identifiers."""
        values = np.asarray(theta, np.float64).reshape(-1)
        return self.fixed | dict(zip(self.prior.names, values.tolist(), strict=True))

    def _values(self, parameters: dict[str, float]) -> list[tuple[Measured, np.ndarray]]:
        """The observables as the model has them where each was measured, in data units."""
        found = {}
        for condition in {one.condition: None for one in self.measured}:
            here = [one for one in self.measured if one.condition == condition]
            times = np.unique(np.concatenate([one.times for one in here]))
            row = self.conditions[condition].items()
            known = {name: parameters.get(value, value) if isinstance(value, str) else value for name, value in row}
            outputs = self.function(dict(parameters), {"conditionId": condition, **known}, times)
            for one in here:
                found[one.name] = _at_times(one, outputs, times)
        return [(one, found[one.name]) for one in self.measured]


def from_petab(path: str | Path, simulator: Model, *, held: Mapping[str, float] | None = None) -> PetabProblem:
    """Read a PEtab problem (version 1): priors, measurements and noise from its tables; the model is yours.

    Args:
        path: of the problem's YAML file.
        simulator: `simulator(parameters, condition, times)` returns the values of the observables at the times, as a
            mapping from observableId to an array of their length. `parameters` are all parameters of the table in
            their own units, by parameterId; `condition` the row of the condition table, with its conditionId, in which
            names of parameters are replaced by their values; `times` the times that were measured, ascending, infinite
            for a steady state. It is called once for each condition.
        held: values of estimated parameters that are taken as known. Parameters of the noise must be: a Gibbs posterior
            compares outputs, and has no density of the noise by which to estimate it.

    Raises:
        ImportError: petab is not installed.
        FileNotFoundError: there is no such file.
        ValueError: tables that cannot be read, or something that is not supported: another version of PEtab,
            preequilibration, parameters of observables, noise that depends on estimated parameters or on the model.

    Example:
        >>> problem = gb.from_petab("problem.yaml", simulator, held={"sd_obs": 0.1})
        >>> simulations = gb.simulate(problem.simulator, problem.prior, 1000, seed=0)
        >>> cost = gb.fit_cost(simulations, problem.distance)
        >>> posterior = gb.GibbsPosterior(problem.prior, cost, problem.x_o, problem.beta)
    """
    if not callable(simulator):
        raise TypeError(f"simulator must be a function (parameters, condition, times), got {type(simulator).__name__}.")
    tables = read_tables(path)
    estimated = [name for name, row in tables.parameters.items() if int(row["estimate"])]
    held = dict(held or {})
    if unknown := sorted(set(held) - set(estimated)):
        raise ValueError(f"held has {unknown}, which is none of the estimated parameters {estimated}.")
    fixed = {name: _nominal(name, row) for name, row in tables.parameters.items() if name not in estimated}
    fixed |= {name: float(value) for name, value in held.items()}
    free = [name for name in estimated if name not in held]
    if not free:
        raise ValueError("no parameter is estimated: set estimate to 1 in the parameter table, or hold fewer.")
    measured = _measured(tables)
    _check_noise(measured, tables, free)
    return PetabProblem(
        prior=Prior({name: prior_of(name, tables.parameters[name]) for name in free}),
        x_o={one.name: to_scale(one.values, one.scale) for one in measured},
        times={one.name: one.times for one in measured},
        measured=measured,
        fixed=fixed,
        conditions=tables.conditions,
        function=simulator,
    )


def _nominal(name: str, row: Mapping[str, Any]) -> float:
    if "nominalValue" not in row:
        raise ValueError(f"parameter {name!r} is not estimated, and has no nominalValue. Give it one.")
    return float(row["nominalValue"])


def _measured(tables: Tables) -> tuple[Measured, ...]:
    """Measurements in groups of one observable and condition, in the order in which these first occur."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in tables.measurements:
        for column, remedy in (
            ("preequilibrationConditionId", "let your simulator equilibrate before time 0, and remove the column"),
            ("observableParameters", "write the parameters into the observable's formula, and remove the column"),
        ):
            if column in row:
                raise ValueError(f"the measurement table has {column} ({row[column]}), which is not read: {remedy}.")
        groups.setdefault((str(row["observableId"]), str(row["simulationConditionId"])), []).append(row)
    several = len({condition for _, condition in groups}) > 1
    return tuple(
        _group(f"{observable} {condition}" if several else observable, observable, condition, rows, tables)
        for (observable, condition), rows in groups.items()
    )


def _group(name: str, observable: str, condition: str, rows: Sequence[Mapping[str, Any]], tables: Tables) -> Measured:
    row = tables.observables[observable]
    law = str(row.get("noiseDistribution", "normal"))
    if law not in ("normal", "laplace"):
        raise ValueError(f"observable {observable!r}: the noise {law!r} is none of PEtab's version 1.")
    return Measured(
        name=name,
        observable=observable,
        condition=condition,
        times=np.array([float(one["time"]) for one in rows]),
        values=np.array([float(one["measurement"]) for one in rows]),
        scale=str(row.get("observableTransformation", "lin")),
        law=law,
        sigma=tables.formula(row["noiseFormula"]),
        placeholders=tuple(_placeholders(one.get("noiseParameters")) for one in rows),
    )


def _placeholders(given: Any) -> tuple[float | str, ...]:
    """What stands for noise parameters: numbers, or names of parameters."""
    return () if given is None else tuple(number_or_name(part) for part in str(given).split(";"))


def _check_noise(measured: Sequence[Measured], tables: Tables, free: Sequence[str]) -> None:
    """Refuse noise that is estimated, or that depends on what only the model knows."""
    for one in measured:
        sources = one.sources()
        if estimated := sorted(sources & set(free)):
            known = {name: tables.parameters[name].get("nominalValue", "...") for name in estimated}
            raise ValueError(
                f"the noise of {one.observable} ({one.sigma.text}) depends on the estimated {', '.join(estimated)}: a "
                "Gibbs posterior compares outputs, and has no density of the noise by which to estimate it. Hold it at "
                f"a value, such as the nominal one: from_petab(..., held={known})."
            )
        if unknown := sorted(sources - set(tables.parameters) - {one.observable}):
            raise ValueError(
                f"the noise of {one.observable} ({one.sigma.text}) depends on {', '.join(unknown)}, which only the "
                "model knows: write it with parameters of the table and the observable itself."
            )
        needed = {name for name in one.sigma.names if name.startswith("noiseParameter")}
        for given in one.placeholders:
            have = {f"noiseParameter{i + 1}_{one.observable}" for i in range(len(given))}
            if needed - have:
                raise ValueError(f"a measurement of {one.observable} has no {', '.join(sorted(needed - have))}.")


def _at_times(one: Measured, outputs: Mapping[str, Any], times: np.ndarray) -> np.ndarray:
    """The values of one observable where it was measured."""
    if not isinstance(outputs, Mapping) or one.observable not in outputs:
        what = list(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            f"the simulator must return a mapping with {one.observable!r} under condition {one.condition!r}, got "
            f"{what}."
        )
    values = np.asarray(outputs[one.observable], np.float64)
    if values.shape != times.shape:
        raise ValueError(
            f"the simulator returned {one.observable!r} of shape {values.shape}, expected one value at each of the "
            f"{len(times)} times: {times.shape}."
        )
    return values[np.searchsorted(times, one.times)]
