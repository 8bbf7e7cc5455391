"""The error of a measurement that a cost knows, for simulators that have none: its expectation, and draws of it.

Simulations stay as they are, without the error, in memory and in stores. Whatever compares them with an observation
asks for them as they would have been measured (`MeasurementError.added_to`), with errors that follow from the
simulations' seed and their rows alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..distances.base import short_text
from ..runtime.named_values import Names, of_each
from ..simulations.measurement_error import check_deviation
from ..simulations.rows import Simulations
from ..simulations.simulators import qualified_name

# The last word of the seed of errors; those of runs and of `with_measurement_error` end with 1 and 2.
_STREAM = 3
_ERROR_IN_RUNS = " + error"


@dataclass(frozen=True, eq=False)
class MeasurementError:
    """Independent normal errors of every number of an output.

    Attributes:
        sd: standard deviations (*x_shape), in data units; or a text such as "10 %" of each value; or a function of one
            output that returns them.
    """

    sd: Float[np.ndarray, "*x_shape"] | str | Callable[[Any], Any]

    @classmethod
    def of(cls, sd: Any, simulations: Simulations) -> "MeasurementError":
        """What a user gave, for outputs like these.

        Raises:
            TypeError: no numbers and no function.
            ValueError: negative ones, other shapes or names, or the runs have an error of their own.
        """
        if isinstance(sd, MeasurementError):
            sd = sd.sd
        _need_exact(simulations)
        if isinstance(sd, str):
            share_of(sd)
            return cls(sd)
        if callable(sd):
            made = cls(sd)
            made.deviations(simulations.x[simulations.ok][:1])
            return made
        check_deviation(sd, "measurement_error")
        if isinstance(sd, Mapping):
            if simulations.outputs is None:
                raise ValueError(
                    f"measurement_error has names ({', '.join(map(str, sd))}), and the simulations' outputs have none: "
                    "give one number, or one per coordinate."
                )
            sd = _by_name(sd, simulations.outputs)
        values = np.asarray(sd, np.float64)
        try:
            return cls(np.array(np.broadcast_to(values, simulations.x_shape)))
        except ValueError:
            raise ValueError(
                f"measurement_error has shape {values.shape}, but outputs have shape {simulations.x_shape}: give one "
                "standard deviation, or one for each of their numbers."
            ) from None

    @property
    def told(self) -> str:
        """The standard deviations as a short text."""
        return f"standard deviation {self.sd if isinstance(self.sd, str) else short_text(self.sd)}"

    @property
    def stored(self) -> list | str | dict[str, str]:
        """As plain values, for files; of a function its name, for files hold no code."""
        if callable(self.sd):
            return {"function": qualified_name(self.sd)}
        return self.sd if isinstance(self.sd, str) else self.sd.tolist()

    @classmethod
    def read(
        cls, path: Path, stored: list | str | dict[str, str] | None, given: Callable[[Any], Any] | None
    ) -> "MeasurementError | None":
        """What a file says of it.

        Args:
            path: of the file.
            stored: what it says.
            given: the function, where there was one.

        Raises:
            TypeError: given is no function.
            ValueError: the function is missing, has another name, or was not asked for.
        """
        wanted = stored["function"] if isinstance(stored, dict) else None
        if given is not None and not callable(given):
            raise TypeError(f"measurement_error must be the function of the fit, got {type(given).__name__}.")
        if wanted is None and given is not None:
            raise ValueError(f"{path} holds its own measurement error; leave the argument measurement_error out.")
        if wanted is not None and given is None:
            raise ValueError(
                f"{path} was fitted with the measurement error of a function, {wanted!r}, and files hold no code: pass "
                "it again as load(path, measurement_error=function)."
            )
        if given is not None:
            if qualified_name(given) != wanted:
                raise ValueError(
                    f"{path} was fitted with the measurement error {wanted!r}, but measurement_error is the function "
                    f"{qualified_name(given)!r}."
                )
            return cls(given)
        if isinstance(stored, str):
            return cls(stored)
        return None if stored is None else cls(np.asarray(stored, np.float64))

    def deviations(self, x: Float[np.ndarray, "n *x_shape"]) -> Float[np.ndarray, "n *x_shape"]:
        """Standard deviations of the errors of outputs.

        Raises:
            ValueError: the function gives negative ones, or another shape.
        """
        if isinstance(self.sd, str):
            return share_of(self.sd) * np.abs(x.astype(np.float64))
        if not callable(self.sd):
            return np.broadcast_to(self.sd, x.shape)
        found = np.empty(x.shape)
        for row, output in zip(found, x, strict=True):
            deviation = np.asarray(self.sd(output.astype(np.float64)), np.float64)
            wrong = (
                np.any(deviation < 0) or np.isinf(deviation).any() or (np.isnan(deviation) & ~np.isnan(output)).any()
            )
            if deviation.shape not in ((), output.shape) or wrong:
                raise ValueError(
                    f"measurement_error must return one standard deviation, or one for each number of an output "
                    f"{output.shape}, not negative and finite; it returned {deviation!r}."
                )
            row[...] = deviation
        return found

    def added_to(self, simulations: Simulations) -> Simulations:
        """The simulations as they would have been measured.

        Raises:
            ValueError: the runs have an error of their own.
        """
        _need_exact(simulations)
        rng = np.random.default_rng(np.random.SeedSequence([max(simulations.seed, 0), _STREAM]))
        # Row by row, so that the errors of the first rows do not depend on how many there are.
        errors = self.deviations(simulations.x) * rng.standard_normal(simulations.x.shape)
        measured = (simulations.x + errors).astype(simulations.x.dtype)
        # By the name it is known that the error is there: it is never added twice.
        name = f"{simulations.simulator}{_ERROR_IN_RUNS}"
        return replace(simulations, x=measured, deterministic=False, simulator=name)


def share_of(text: str) -> float:
    """The share of each value that a text such as "10 %" says.

    Raises:
        ValueError: it says something else.
    """
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100 if text.strip().endswith("%") else np.nan
    except ValueError:
        share = np.nan
    if not 0 < share < np.inf:
        raise ValueError(f'measurement_error as a text must be a share of each value, such as "10 %", got {text!r}.')
    return share


def _by_name(sd: Mapping[str, Any], outputs: Names) -> Float[np.ndarray, " k"]:
    try:
        each = of_each(sd, [name for name, *_ in outputs.slices()])
    except ValueError as error:
        raise ValueError(f"measurement_error: {error}.") from None
    values = np.zeros(outputs.size)
    for name, shape, place in outputs.slices():
        values[place] = np.broadcast_to(np.asarray(each[name], np.float64), shape).reshape(-1)
    return values


def _need_exact(simulations: Simulations) -> None:
    if simulations.simulator.endswith(_ERROR_IN_RUNS):
        raise ValueError(
            f"measurement_error is added to runs that have none, and those of {simulations.simulator!r} have one "
            "already: leave it out, or simulate without with_measurement_error."
        )
