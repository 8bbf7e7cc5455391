"""One sweep of an NWB file: found, converted to mV and uA, thinned to 0.02 ms and cut around its current step.

Layouts: NWB 1 as the Allen Cell Types Database distributes it (`/acquisition/timeseries/Sweep_N`,
`/stimulus/presentation/Sweep_N`, `/epochs/Experiment_N`) and NWB 2 (`/acquisition/NAME` of type CurrentClampSeries,
`/stimulus/presentation/NAME` of type CurrentClampStimulusSeries). Which samples are valid and which conversions count
follows what AllenSDK's `NwbDataSet.get_sweep` and the NWB 2 schema (`nwb.icephys.yaml`) say.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

# Time step of every recording (ms).
DT = 0.02
# Share of the largest current from which a value counts as current: stored commands are clean, apart from rounding.
_SOME_CURRENT = 1e-3
# A step of this duration (ms) or longer is offered in the list of sweeps.
_LONG = 500.0
# Numbers below are in volts and amperes already: a neuron's voltage in mV passes 1, an injected current in pA 1e-6.
_MOST_VOLTS, _MOST_AMPERES = 1.0, 1e-6


@dataclass(frozen=True)
class SweepData:
    """The window of a sweep: voltage (mV, as recorded) and current (uA) every 0.02 ms; the step's time in ms."""

    number: int
    voltage: Float[np.ndarray, " steps"]
    current: Float[np.ndarray, " steps"]
    stimulus_on: float
    stimulus_off: float


@dataclass(frozen=True)
class _Sweep:
    """Where a sweep stands in the file: HDF5 groups, and the samples that are part of the experiment."""

    number: int
    response: Any
    stimulus: Any
    version: int
    first: int
    last: int | None


@dataclass(frozen=True)
class _Step:
    """A current step: samples [first, last), amplitude in A, whether it is constant."""

    first: int
    last: int
    amplitude: float
    constant: bool


def read_sweep(path: Path, sweep: int | None, before: float, duration: float) -> SweepData:
    """A window of one current-clamp sweep, from `before` ms ahead of its current step.

    Files sampled faster than 50 kHz are thinned to every k-th sample, not averaged: published work did so (its values
    lie on the converter's grid), and a mean over 0.02 ms would flatten spikes. The first sample with current is kept.

    Args:
        path: an NWB file.
        sweep: number; None: the only sweep with a step of at least 500 ms.
        before: ms of the window before the first sample with current.
        duration: ms of the whole window.

    Raises:
        ImportError: h5py is not installed.
        ValueError: a damaged file, no such sweep or several to choose from, voltage clamp, another sampling rate, no
            current step, or a window that leaves the recording or in which other current flows.
    """
    with _opened(path) as file:
        sweeps = list(_sweeps(file))
        if not sweeps:
            raise ValueError(
                "has no sweeps. Expected /acquisition/timeseries/Sweep_N (NWB 1), or in /acquisition series of type "
                "CurrentClampSeries with a `sweep_number`, or a number in their names (NWB 2)."
            )
        return _window(_chosen(sweeps, sweep), before, duration)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file; what goes wrong within it is told with its name."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading NWB files needs h5py: pip install 'genbayes[tasks]'.") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path.name} cannot be opened as HDF5, which NWB files are: {error}. Download it again; an unfinished "
            "download is the usual cause."
        ) from error
    with file:
        try:
            yield file
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        # h5py: RuntimeError and KeyError where the file's structure is broken, OSError where a block of data is.
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path.name} is damaged or not a complete NWB file: {error}") from error


def _sweeps(file: Any) -> Iterator[_Sweep]:
    """Every intracellular recording of the file with its stimulus, by sweep number."""
    version = 1 if "acquisition/timeseries" in file else 2
    responses = _series(file.get("acquisition/timeseries" if version == 1 else "acquisition"), version)
    stimuli = _series(file.get("stimulus/presentation"), version)
    for number in sorted(responses):
        stimulus = stimuli.get(number, [None])
        if len(responses[number]) > 1 or len(stimulus) > 1:
            names = [group.name for group in (*responses[number], *stimulus) if group is not None]
            raise ValueError(
                f"sweep {number} has several recordings or stimuli ({', '.join(names)}), for example of several "
                "electrodes; which belong together is not known. Save the recording you want as an .npz file."
            )
        # Before the experiment epoch is the test pulse, after it a recording that was stopped.
        epoch = file.get(f"epochs/Experiment_{number}/stimulus")
        first, last = 0, None
        if epoch is not None:
            first = int(_scalar(_need(epoch, "idx_start")))
            last = first + int(_scalar(_need(epoch, "count")))
        yield _Sweep(number, responses[number][0], stimulus[0], version, first, last)


def _series(parent: Any, version: int) -> dict[int, list[Any]]:
    """Groups with data below a group, by sweep number; in NWB 2 those of intracellular types."""
    found: dict[int, list[Any]] = {}
    if parent is None:
        return found
    for name in parent:
        group = parent.get(name)
        if group is None or not hasattr(group, "keys") or "data" not in group:
            continue
        if version == 2 and "Clamp" not in _text(group.attrs.get("neurodata_type", "")):
            continue
        number = _number(name, group)
        if number is not None:
            found.setdefault(number, []).append(group)
    return found


def _number(name: str, group: Any) -> int | None:
    """Sweep number: the attribute `sweep_number`, else the first number in the name (Sweep_57, data_00057_AD0)."""
    if "sweep_number" in group.attrs:
        return int(_scalar(group.attrs["sweep_number"]))
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else None


def _chosen(sweeps: list[_Sweep], number: int | None) -> _Sweep:
    if number is None:
        steps = [(sweep, step) for sweep in sweeps if (step := _long_step(sweep)) is not None]
        if len(steps) == 1:
            return steps[0][0]
        words = [f"{sweep.number} ({_pa(step)} pA{_stimulus_name(sweep)})" for sweep, step in steps]
        if not words:
            raise ValueError(
                f"none of the {len(sweeps)} sweeps is a current-clamp sweep with a square current step of at least "
                f"{_LONG:g} ms. Choose a sweep by its number, `sweep=`; there are {_listed(sweeps)}."
            )
        raise ValueError(
            f"has several sweeps with a long square current step; choose one by `sweep=`: {', '.join(words)}."
        )
    for sweep in sweeps:
        if sweep.number == number:
            break
    else:
        raise ValueError(f"has no sweep {number}. There are {_listed(sweeps)}.")
    mode = _mode(sweep)
    if mode != "current clamp":
        raise ValueError(
            f"sweep {number} was recorded in {mode}; the model needs current clamp (an injected current and the "
            "voltage it causes). Choose another sweep."
        )
    return sweep


def _listed(sweeps: list[_Sweep]) -> str:
    return "sweeps " + ", ".join(str(sweep.number) for sweep in sweeps)


def _pa(step: _Step) -> str:
    return f"{1e12 * step.amplitude:.4g}"


def _stimulus_name(sweep: _Sweep) -> str:
    """', "Long Square"' where the file names the stimulus."""
    for group in (sweep.stimulus, sweep.response):
        for name in ("aibs_stimulus_name", "stimulus_description"):
            value = group[name] if name in group else group.attrs.get(name)
            if value is not None:
                return f', "{_text(_scalar(value))}"'
    return ""


def _mode(sweep: _Sweep) -> str:
    """'current clamp', or what it is instead: by the series' type, else by the unit of the stimulus."""
    # NWB 1 calls every series a TimeSeries and lists its classes in `ancestry`.
    kinds = [_text(sweep.response.attrs.get("neurodata_type", ""))]
    kinds += [_text(kind) for kind in np.ravel(sweep.response.attrs.get("ancestry", []))]
    if any("VoltageClamp" in kind for kind in kinds):
        return "voltage clamp"
    if any("IZeroClamp" in kind for kind in kinds) or sweep.stimulus is None:
        return "current clamp without an injected current"
    unit = _text(sweep.stimulus["data"].attrs.get("unit", ""))
    return "voltage clamp" if unit.lower().startswith("v") else "current clamp"


def _long_step(sweep: _Sweep) -> _Step | None:
    """The sweep's current step if it is one for this model."""
    if _mode(sweep) != "current clamp":
        return None
    step = _step(_si(sweep.stimulus, sweep.version, _MOST_AMPERES), sweep)
    if step is None or not step.constant or (step.last - step.first) / _rate(sweep.stimulus) * 1e3 < _LONG:
        return None
    return step


def _step(current: Float[np.ndarray, " samples"], sweep: _Sweep) -> _Step | None:
    """The longest run of samples with current in the experiment."""
    valid = current[sweep.first : sweep.last]
    # What was not recorded can be NaN.
    flows = np.abs(valid) > _SOME_CURRENT * np.max(np.abs(valid), initial=0, where=np.isfinite(valid))
    edges = np.flatnonzero(np.diff(flows, prepend=False, append=False)).reshape(-1, 2)
    if not len(edges):
        return None
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    part = valid[first:last]
    amplitude = float(np.median(part))
    constant = bool(np.all(np.abs(part - amplitude) <= 1e-3 * abs(amplitude)))
    return _Step(sweep.first + int(first), sweep.first + int(last), amplitude, constant)


def _window(sweep: _Sweep, before: float, duration: float) -> SweepData:
    rate = _rate(sweep.stimulus)
    if not np.isclose(rate, _rate(sweep.response), rtol=1e-6):
        raise ValueError(
            f"sweep {sweep.number}: the current is sampled at {rate:g} Hz, the voltage at {_rate(sweep.response):g} Hz."
        )
    every = round(rate * DT / 1e3)
    if every < 1 or not np.isclose(every, rate * DT / 1e3, rtol=1e-6):
        raise ValueError(
            f"sweep {sweep.number} is sampled at {rate:g} Hz; the model's step is {DT:g} ms, so the rate must be a "
            "multiple of 50,000 Hz. Resample voltage and current to 50 kHz yourself and save them as an .npz file."
        )
    current = _si(sweep.stimulus, sweep.version, _MOST_AMPERES)
    voltage = _si(sweep.response, sweep.version, _MOST_VOLTS)
    if len(current) != len(voltage):
        raise ValueError(f"sweep {sweep.number}: {len(voltage)} samples of voltage, but {len(current)} of current.")
    step = _step(current, sweep)
    if step is None:
        raise ValueError(f"sweep {sweep.number} has no stimulus: its current is zero throughout.")
    if not step.constant:
        raise ValueError(
            f"the current of sweep {sweep.number} is not a square step{_stimulus_name(sweep)}. Save the part you want "
            "as an .npz file."
        )
    ms = 1e3 / rate
    start = step.first - every * round(before / DT)
    steps = round(duration / DT)
    stop = start + every * steps
    end = len(current) if sweep.last is None else min(sweep.last, len(current))
    where = f"sweep {sweep.number}: the step is from {step.first * ms:g} to {step.last * ms:g} ms"
    if start < 0 or stop > end:
        raise ValueError(
            f"{where} and the recording from 0 to {end * ms:g} ms, which does not hold the window from "
            f"{start * ms:g} to {stop * ms:g} ms. Change `before` ({before:g} ms ahead of the step) or `duration` "
            f"({duration:g} ms), or choose another sweep."
        )
    if step.last > stop:
        raise ValueError(f"{where}, but the window ends at {stop * ms:g} ms. Make `duration` longer.")
    others = np.abs(current[start:stop]) > _SOME_CURRENT * abs(step.amplitude)
    others[step.first - start : step.last - start] = False
    if others.any():
        raise ValueError(
            f"{where}, but in the window from {start * ms:g} to {stop * ms:g} ms other current flows, for example at "
            f"{(start + np.argmax(others)) * ms:g} ms (a test pulse?). Make `before` or `duration` shorter."
        )
    return SweepData(
        sweep.number,
        1e3 * voltage[start:stop:every],
        1e6 * current[start:stop:every],
        round((step.first - start) * ms, 6),
        # The end is the last sample with current, in the file's own sampling, as in the published recordings.
        round((step.last - 1 - start) * ms, 6),
    )


def _si(group: Any, version: int, most: float) -> Float[np.ndarray, " samples"]:
    """Values of a series in volts or amperes.

    Early Allen files (pipeline versions below 1.1) hold SI units beside a conversion that is not 1; AllenSDK does not
    apply it. Here the numbers tell: in NWB 1, what is below `most` is in SI units already.
    """
    data = _need(group, "data")
    values = np.asarray(data[()])
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise ValueError(f"{data.name} must be a row of numbers, got shape {values.shape} and dtype {values.dtype}.")
    values = values.astype(np.float64)
    if version == 1 and np.max(np.abs(values[np.isfinite(values)]), initial=0) < most:
        return values
    return values * float(_scalar(data.attrs.get("conversion", 1))) + float(_scalar(data.attrs.get("offset", 0)))


def _rate(group: Any) -> float:
    """Samples per second."""
    rate = _need(group, "starting_time").attrs.get("rate")
    if rate is None or not float(_scalar(rate)) > 0:
        raise ValueError(f"{group.name}/starting_time has no attribute `rate` (samples per second), got {rate!r}.")
    return float(_scalar(rate))


def _need(group: Any, name: str) -> Any:
    if name not in group:
        raise ValueError(f"{group.name} has no {name}, which NWB prescribes. It has {', '.join(group) or 'nothing'}.")
    return group[name]


def _scalar(value: Any) -> Any:
    """A value that HDF5 holds as a scalar, as an array of one, or as a data set."""
    return np.ravel(value[()] if hasattr(value, "id") else value)[0]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
