"""Current-clamp recordings of neurons, from .npz and NWB files.

Files of the Allen Cell Types Database hold voltages as recorded. Models of its cells are fitted after a correction for
the liquid-junction potential of -14 mV (Goncalves et al. 2020; Gao et al. 2023), which is added here.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..runtime.damaged_files import load_archive
from .nwb import DT, read_sweep

JUNCTION_POTENTIAL = -14.0
# Time before the onset, and duration (ms), in published work on these recordings (Goncalves et al. 2020), whose steps
# last one second.
BEFORE, DURATION = 205.0, 1450.0
_KEYS = ("voltage_mV", "current_uA", "dt_ms", "stimulus_on_ms", "stimulus_off_ms", "soma_area_cm2")
_SIDE_KEYS = ("sweep", "soma_area", "junction_potential")
# Values outside these ranges are in a wrong unit: currents of 1 pA to 10 nA (in uA), surfaces of spheres with radii
# of 2 to 126 um (in cm^2).
_CURRENTS = (1e-6, 1e-2)
_AREAS = (5e-7, 2e-3)
_MOST_MILLIVOLTS = 200.0


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """The voltage of a neuron under a known current.

    Args:
        name: for figures and tables.
        voltage: mV, corrected for the liquid-junction potential, shape (steps,), float32.
        current_density: uA/cm^2, shape (steps,), float32.
        dt: ms between two samples, 0.02.
        stimulus_on: ms, of the first sample with current.
        stimulus_off: ms, of the last sample with current.

    Raises:
        ValueError: voltage and current of different length, NaN, another dt, a stimulus outside the recording or
            without current.
    """

    name: str
    voltage: Float[np.ndarray, " steps"]
    current_density: Float[np.ndarray, " others"]
    dt: float
    stimulus_on: float
    stimulus_off: float

    def __post_init__(self) -> None:
        for key in ("voltage", "current_density"):
            values = np.asarray(getattr(self, key), np.float32)
            if values.ndim != 1:
                raise ValueError(f"{self.name}: `{key}` must be a row of numbers, got shape {values.shape}.")
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                raise ValueError(
                    f"{self.name}: `{key}` has {len(bad)} value(s) that are NaN or infinite, the first at index "
                    f"{bad[0]}. Choose a recording without gaps."
                )
            object.__setattr__(self, key, values)
        steps = len(self.voltage)
        if steps != len(self.current_density):
            raise ValueError(
                f"{self.name}: {steps} samples of voltage, but {len(self.current_density)} of current. Both are needed "
                "at the same times."
            )
        if not np.isclose(self.dt, DT, rtol=1e-6):
            raise ValueError(
                f"{self.name}: dt is {self.dt!r} ms; the model's step is {DT:g} ms. Resample voltage and current to "
                "50 kHz."
            )
        object.__setattr__(self, "dt", DT)
        if not 0 <= self.stimulus_on < self.stimulus_off <= steps * DT:
            raise ValueError(
                f"{self.name}: the stimulus must be within the recording of {steps * DT:g} ms, got from "
                f"{self.stimulus_on!r} to {self.stimulus_off!r} ms."
            )
        if not np.any(self.current_density[self._stimulus]):
            raise ValueError(
                f"{self.name}: no current flows in the stimulus window from {self.stimulus_on:g} to "
                f"{self.stimulus_off:g} ms. Is the window in ms?"
            )

    @property
    def _stimulus(self) -> slice:
        first, last = (round(t / DT, 6) for t in (self.stimulus_on, self.stimulus_off))
        return slice(int(np.ceil(first)), int(np.floor(last)) + 1)

    @property
    def times(self) -> Float[np.ndarray, " steps"]:
        """Times of the samples, ms, from 0."""
        return np.arange(len(self.voltage)) * self.dt

    @property
    def initial_voltage(self) -> float:
        """Voltage of the first sample, mV."""
        return float(self.voltage[0])

    @property
    def amplitude(self) -> float:
        """Mean current density during the stimulus, uA/cm^2."""
        return float(self.current_density[self._stimulus].mean(dtype=np.float64))

    def __repr__(self) -> str:
        return (
            f"Recording({self.name!r}, {len(self.voltage) * self.dt:g} ms, {self.amplitude:.4g} uA/cm^2 from "
            f"{self.stimulus_on:g} to {self.stimulus_off:g} ms)"
        )


def read_recording(
    path: str | Path,
    *,
    sweep: int | None = None,
    soma_area: float | None = None,
    junction_potential: float = JUNCTION_POTENTIAL,
    before: float = BEFORE,
    duration: float = DURATION,
) -> Recording:
    """A recording from an .npz or an NWB file.

    An .npz file holds `voltage_mV` and `current_uA` (the same length), `dt_ms`, `stimulus_on_ms`, `stimulus_off_ms`
    and `soma_area_cm2`, and may hold `sweep`. An NWB file is one of the Allen Cell Types Database (NWB 1) or of newer
    collections (NWB 2), sampled at 50 kHz or a multiple of it, of which every k-th sample is kept; the test pulse at
    its beginning is cut away.

    Args:
        path: of the file, .npz or .nwb.
        sweep: number of the sweep; without it an NWB file must have a single sweep with a long current step.
        soma_area: membrane area in cm^2; NWB files do not have it, and it replaces the one of an .npz file.
        junction_potential: mV, added to the voltage.
        before: NWB: ms of the window before the current step.
        duration: NWB: ms of the window.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: an NWB file, and h5py is not installed.
        ValueError: the file is damaged, lacks something or has implausible units; the message says which and what to
            do.

    Example:
        >>> recording = read_recording("518290966_ephys.nwb", sweep=57, soma_area=1.857e-4)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}. Expected a recording, .npz or .nwb.")
    if not np.isfinite(junction_potential) or abs(junction_potential) > 100:
        raise ValueError(f"`junction_potential` must be a number of mV, got {junction_potential!r}.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path, sweep, soma_area, junction_potential)
    if suffix != ".nwb":
        raise ValueError(f"{path.name}: expected a file that ends with .npz or .nwb, got {path.suffix or 'no ending'}.")
    if not (DT <= before < duration and np.isfinite(duration)):
        raise ValueError(
            f"`before` and `duration` must be ms with {DT:g} <= before < duration, got {before!r} and {duration!r}."
        )
    if soma_area is None:
        raise ValueError(
            f"{path.name}: `soma_area` is missing. It is the area of the membrane in cm^2, by which the injected "
            "current is divided, and NWB files do not have it. For a cell of the Allen Cell Types Database: membrane "
            "time constant / input resistance / (1 uF/cm^2), both on the cell's page (23.4 ms and 126 MOhm give "
            "1.857e-4 cm^2); or 4 pi r^2 of a soma with radius r. Where a folder is read: a line "
            f"`soma_area = 1.857e-4` in {path.with_suffix('.toml').name} beside the file."
        )
    data = read_sweep(path, sweep, before, duration)
    name = f"{path.stem}_sweep_{data.number}"
    return _recording(
        name, data.voltage, data.current, soma_area, junction_potential, DT, data.stimulus_on, data.stimulus_off
    )


def read_recordings(folder: str | Path) -> list[Recording]:
    """All recordings of a folder, .npz and .nwb, sorted by name; a single file is allowed.

    What an NWB file lacks stands in a text file beside it with the same name and the ending .toml: `soma_area` (cm^2),
    `sweep` (a number, or a list of numbers for several recordings of the cell), and if need be `junction_potential`
    (mV)::

        soma_area = 1.857e-4
        sweep = 57

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: no recording in the folder, and as `read_recording`.

    Example:
        >>> recordings = read_recordings("recordings/")
    """
    paths = recording_files(folder)
    recordings = []
    for path in paths:
        side = path.with_suffix(".toml")
        if path.suffix.lower() != ".nwb" or not side.is_file():
            recordings.append(read_recording(path))
            continue
        sweeps, arguments = _side_file(side)
        recordings += [read_recording(path, sweep=sweep, **arguments) for sweep in sweeps]
    return sorted(recordings, key=lambda recording: recording.name)


def recording_files(folder: str | Path) -> list[Path]:
    """The files that `read_recordings` reads, each of which it also reads alone.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: no recording in the folder.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder or file {folder}. Expected .npz or .nwb recordings.")
    if not folder.is_dir():
        return [folder]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".npz", ".nwb") and path.is_file())
    if not paths:
        raise ValueError(f"{folder} holds no recordings (.npz or .nwb).")
    return paths


def _side_file(path: Path) -> tuple[list[int | None], dict[str, float]]:
    """Sweeps and the other arguments of `read_recording`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read as TOML: {error}. Expected lines `key = value`.") from error
    unknown = sorted(set(values) - set(_SIDE_KEYS))
    if unknown:
        raise ValueError(f"{path.name}: {', '.join(unknown)} is unknown. Keys: {', '.join(_SIDE_KEYS)}.")
    sweeps = values.pop("sweep", None)
    sweeps = sweeps if isinstance(sweeps, list) else [sweeps]
    if not sweeps or any(isinstance(sweep, bool) or not isinstance(sweep, int | None) for sweep in sweeps):
        raise ValueError(f"{path.name}: `sweep` must be a whole number or a list of them, got {sweeps!r}.")
    wrong = [key for key, value in values.items() if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise ValueError(f"{path.name}: `{wrong[0]}` must be a number, got {values[wrong[0]]!r}.")
    return sweeps, {key: float(value) for key, value in values.items()}


def _read_npz(path: Path, sweep: int | None, soma_area: float | None, junction_potential: float) -> Recording:
    values = {name: array for name, array in load_archive(path).items() if name in (*_KEYS, "sweep")}
    missing = [key for key in _KEYS if key not in values and not (key == "soma_area_cm2" and soma_area is not None)]
    if missing:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}. Expected the arrays {', '.join(_KEYS)}.")
    if sweep is not None and "sweep" in values and _number(path, values, "sweep") != sweep:
        raise ValueError(
            f"{path.name} is sweep {_number(path, values, 'sweep'):g}, but `sweep` is {sweep}. An .npz file holds one."
        )
    voltage, current = (_row(path, values, key) for key in ("voltage_mV", "current_uA"))
    area = _number(path, values, "soma_area_cm2") if soma_area is None else soma_area
    dt, on, off = (_number(path, values, key) for key in ("dt_ms", "stimulus_on_ms", "stimulus_off_ms"))
    return _recording(path.stem, voltage, current, area, junction_potential, dt, on, off)


def _row(path: Path, values: Mapping[str, Any], key: str) -> Float[np.ndarray, " steps"]:
    array = values[key]
    if array.ndim != 1 or array.dtype.kind not in "fiu" or not len(array):
        raise ValueError(
            f"{path.name}: {key} must be a row of numbers, got shape {array.shape} and dtype {array.dtype}."
        )
    return array.astype(np.float64)


def _number(path: Path, values: Mapping[str, Any], key: str) -> float:
    array = values[key]
    if array.size != 1 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{path.name}: {key} must be a number, got {array!r}.")
    return float(array.reshape(()))


def _recording(
    name: str,
    voltage: Float[np.ndarray, " steps"],
    current: Float[np.ndarray, " others"],
    soma_area: float,
    junction_potential: float,
    dt: float,
    on: float,
    off: float,
) -> Recording:
    """A recording from mV and uA, whose units are checked: a wrong one would go unnoticed through the inference."""
    if not _AREAS[0] <= soma_area <= _AREAS[1]:
        raise ValueError(
            f"{name}: the soma area is {soma_area!r} cm^2, plausible are {_AREAS[0]:g} to {_AREAS[1]:g}. Is it in "
            "other units? Multiply um^2 by 1e-8, mm^2 by 0.01, m^2 by 1e4."
        )
    # NaN is left to the checks of the recording.
    largest = np.max(np.abs(voltage[np.isfinite(voltage)]), initial=0)
    if largest < 1:
        raise ValueError(
            f"{name}: the voltage is between -1 and 1 throughout (at most {largest:.3g}), so it seems to be in volts; "
            "mV are expected: multiply by 1000."
        )
    if largest > _MOST_MILLIVOLTS:
        raise ValueError(
            f"{name}: the voltage reaches {largest:.4g} mV, which no neuron does. Is it in other units, or not "
            "converted from the converter's counts?"
        )
    largest = np.max(np.abs(current[np.isfinite(current)]), initial=0)
    if largest == 0:
        raise ValueError(f"{name}: there is no stimulus in the window: the current is zero throughout.")
    if not _CURRENTS[0] * (1 - 1e-6) <= largest <= _CURRENTS[1]:
        raise ValueError(
            f"{name}: the current reaches {largest:.4g} uA, plausible are {_CURRENTS[0]:g} to {_CURRENTS[1]:g} (1 pA "
            "to 10 nA). Is it in other units? Multiply pA by 1e-6, nA by 0.001, A by 1e6."
        )
    return Recording(
        name,
        (voltage + junction_potential).astype(np.float32),
        (current / soma_area).astype(np.float32),
        dt,
        on,
        off,
    )
