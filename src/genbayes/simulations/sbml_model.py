"""Models of systems biology in SBML as simulators, by libroadrunner."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import final

import numpy as np

from .executors import Job, run_each
from .sbml_runs import Plan, loaded, run_model
from .simulators import Simulator
from .worker import Result, sent_by_value

sent_by_value(Plan.__module__)


@final
class SBMLModel(Simulator):
    """A model in SBML, such as those of BioModels: its time courses, as functions of its parameters.

    Parameters and known conditions of the prior are symbols of the model: the id of a parameter or compartment, or of a
    species, whose amount at time 0 it then is, with brackets ("[glucose]") its concentration. All else is as the model
    says. Every run starts from the model as the file has it. Needs `pip install "genbayes[sbml]"`.

    Args:
        path: of the file, SBML of level 2 or 3.
        outputs: symbols to return, one time course each: "glucose" is an amount, "[glucose]" a concentration, and the
            id of a reaction its rate. Or a mapping from names to symbols.
        times: at which they are returned (times,), ascending, from 0 on, in the model's units of time.
        parameters: symbols of those parameters of the prior that are called differently, {"k": "kcat_HK"}.
        stochastic: by Gillespie's algorithm, in numbers of molecules; else ordinary differential equations, which are
            deterministic (see `with_measurement_error`).
        relative_tolerance: of the solver.
        absolute_tolerance: of the solver, in the model's units of amount.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: libroadrunner is not installed.
        ValueError: no SBML model; times that are not ascending from 0 on; or a symbol that the model does not have, as
            soon as `simulate` is asked.

    Example:
        >>> model = gb.SBMLModel("glycolysis.xml", outputs=["[glucose]", "[ATP]"], times=np.linspace(0, 60, 31))
        >>> prior = gb.Prior.uniform([0.1, 1.0], [1.0, 5.0], names=["k1", "[glucose]"])
        >>> simulations = gb.simulate(gb.with_measurement_error(model, 0.1), prior, 2000, seed=0, workers=8)
    """

    kind = "SBML"
    usage = '`SBMLModel("model.xml", outputs=["[glucose]"], times=[0, 1, 2])`'
    noise_source = "its parameters"
    noise_remedy = "Give stochastic=True, or add the error of the measurement: gb.with_measurement_error(model, sd)."

    def __init__(
        self,
        path: str | PurePath,
        *,
        outputs: Sequence[str] | Mapping[str, str],
        times: Sequence[float] | np.ndarray,
        parameters: Mapping[str, str] | None = None,
        stochastic: bool = False,
        relative_tolerance: float = 1e-6,
        absolute_tolerance: float = 1e-12,
    ):
        self._path, self._parameters = Path(path), dict(parameters or {})
        if isinstance(outputs, str) or not outputs:
            raise ValueError(f"`outputs` must be a list of symbols or a mapping from names to them, got {outputs!r}.")
        self._plan = Plan(
            text=self._path.read_text("utf-8"),
            inputs=(),
            outputs=dict(outputs) if isinstance(outputs, Mapping) else {symbol: symbol for symbol in outputs},
            times=_checked_times(times),
            stochastic=stochastic,
            tolerances=(float(relative_tolerance), float(absolute_tolerance)),
        )

    @property
    def name(self) -> str:
        """The file's name."""
        return self._path.name

    def check_names(self, names: tuple[str, ...]) -> None:
        """Look whether the model has all symbols.

        Raises:
            ImportError: libroadrunner is not installed.
            ValueError: it has not, or is no model.
        """
        try:
            model = loaded(self._plan)
        except ImportError:
            raise ImportError(
                "libroadrunner, which simulates SBML models, is not installed: pip install 'genbayes[sbml]'."
            ) from None
        except RuntimeError as error:
            raise ValueError(f"{self._path} cannot be read as an SBML model: {_in_a_line(error)}") from None
        self._check_symbols(model, self._symbols(names), "a parameter of the prior")
        self._check_symbols(model, tuple(self._plan.outputs.values()), "an output")
        unknown = self._parameters.keys() - set(names)
        if unknown:
            raise ValueError(f"`parameters` has {sorted(unknown)[0]!r}, which is none of {', '.join(names)}.")

    def _check_symbols(self, model: object, symbols: tuple[str, ...], what: str) -> None:
        for symbol in symbols:
            try:
                model[symbol]  # pyright: ignore[reportIndexIssue]
            except RuntimeError:
                known = [*model.model.getGlobalParameterIds(), *model.model.getFloatingSpeciesIds()]  # pyright: ignore
                raise ValueError(
                    f"{self._path} has no symbol {symbol!r}, which is {what}. It has {', '.join(known[:30])}; "
                    'concentrations are written "[name]", and parameters={"name": "symbol"} gives others\' names.'
                ) from None

    def _symbols(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._parameters.get(name, name) for name in names)

    def run(self, job: Job) -> Iterator[list[Result]]:
        """Yield the results as the workers finish them; every process compiles the model once."""
        self.check_names(job.names)
        return run_each(functools.partial(run_model, self._plan._replace(inputs=self._symbols(job.names))), job)


def _checked_times(times: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    values = np.asarray(times, float)
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
        raise ValueError(f"`times` must be one number or more in a row, got an array of shape {values.shape}.")
    if values[0] < 0 or np.any(np.diff(values) <= 0):
        raise ValueError(f"`times` must ascend, from 0 on, got {values.tolist()[:10]}.")
    return tuple(values.tolist())


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
