"""Recordings from .npz and NWB files: units, cut and thinning against known traces, real files, each message."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genbayes.hodgkin_huxley.recording import Recording, read_recording, read_recordings
from genbayes.hodgkin_huxley.statistics import Windows

h5py = pytest.importorskip("h5py", reason="reading NWB files needs h5py")

ALLEN = Path(__file__).parents[3] / "shared" / "data" / "allen"
REAL = sorted(ALLEN.glob("*.npz"))
real = pytest.mark.skipif(not REAL, reason=f"no recordings of the Allen Cell Types Database in {ALLEN}")
AREA = 2e-4
# ms: the step of the sweeps below begins and ends here, after a test pulse.
ONSET, END = 1020.0, 2020.0
LENGTH = 2400.0


def voltage_at(t: np.ndarray) -> np.ndarray:
    """mV at times in ms: a value that tells its time to 0.001 ms."""
    return -70 + t / 100


def sweep(rate: float = 50_000.0, pa: float = 150.0, pulse: bool = True) -> dict[str, Any]:
    """Voltage (V) and current (A) of a whole sweep with a test pulse at 20 ms."""
    t = np.arange(round(LENGTH * rate / 1e3)) * 1e3 / rate
    current = np.where((t > ONSET - 1e-6) & (t < END - 1e-6), pa * 1e-12, 0.0)
    if pulse:
        current[(t >= 20) & (t < 120)] = -50e-12
    return {"voltage": voltage_at(t) * 1e-3, "current": current, "rate": rate}


def add_series(parent: Any, data: np.ndarray, rate: float, unit: str | None, conversion: float = 1.0) -> Any:
    parent.create_dataset("data", data=data)
    parent["data"].attrs["conversion"] = conversion
    if unit is not None:
        parent["data"].attrs["unit"] = np.bytes_(unit)
    parent["starting_time"] = 0.0
    parent["starting_time"].attrs["rate"] = rate
    parent["num_samples"] = len(data)
    return parent


def nwb1(path: Path, sweeps: dict[int, dict[str, Any]]) -> Path:
    """A file in the layout of the Allen Cell Types Database; a sweep's further keys change what is written."""
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "NWB-1.0.5"
        for number, content in sweeps.items():
            rate, name = content["rate"], f"Sweep_{number}"
            response = file.create_group(f"acquisition/timeseries/{name}")
            stimulus = file.create_group(f"stimulus/presentation/{name}")
            units = content.get("units", ("Volts", "Amps"))
            add_series(response, content["voltage"], rate, units[0], content.get("conversions", (1, 1))[0])
            add_series(stimulus, content["current"], rate, units[1], content.get("conversions", (1, 1))[1])
            stimulus["aibs_stimulus_name"] = np.bytes_(content.get("name", "Long Square"))
            stimulus["aibs_stimulus_amplitude_pa"] = 1e12 * np.max(np.abs(content["current"]))
            first, count = content.get("epoch", (round(rate * 0.75), len(content["current"]) - round(rate * 0.75)))
            file[f"epochs/{name}/stimulus/idx_start"] = 0
            file[f"epochs/{name}/stimulus/count"] = len(content["current"])
            if content.get("experiment", True):
                file[f"epochs/Experiment_{number}/stimulus/idx_start"] = first
                file[f"epochs/Experiment_{number}/stimulus/count"] = count
                # As in the files themselves: the epoch leads to its series.
                file[f"epochs/Experiment_{number}/stimulus/timeseries"] = h5py.SoftLink(stimulus.name)
    return path


def nwb2(path: Path, sweeps: dict[int, dict[str, Any]]) -> Path:
    """NWB 2 as MIES writes it: mV and pA with conversions, the sweep's number in an attribute."""
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.2.4"
        for number, content in sweeps.items():
            rate, kind = content["rate"], content.get("kind", "CurrentClamp")
            response = file.create_group(f"acquisition/data_{number + 1000:05d}_AD0")
            add_series(response, content["voltage"] * 1e3, rate, "volts", 1e-3)
            response.attrs["neurodata_type"] = f"{kind}Series"
            response["data"].attrs["offset"] = content.get("offset", 0.0)
            both = [response]
            if content.get("stimulus", True):
                stimulus = file.create_group(f"stimulus/presentation/data_{number + 1000:05d}_DA0")
                both.append(add_series(stimulus, content["current"] * 1e12, rate, "amperes", 1e-12))
                stimulus.attrs["neurodata_type"] = f"{kind}StimulusSeries"
            for series in both:
                series.attrs["sweep_number"] = np.uint32(number)
                series.attrs["stimulus_description"] = "X4PS_SupraThresh_DA_0"
        # Not intracellular: must be left alone.
        other = add_series(file.create_group("acquisition/temperature_7"), np.zeros(3), 1.0, "celsius")
        other.attrs["neurodata_type"] = "TimeSeries"
    return path


def npz(path: Path, **changes: Any) -> Path:
    t = np.arange(72_500) * 0.02
    values = {
        "voltage_mV": voltage_at(t).astype(np.float32),
        "current_uA": np.where((t >= 205) & (t < 1205), 1e-4, 0).astype(np.float32),
        "dt_ms": 0.02,
        "stimulus_on_ms": 205.0,
        "stimulus_off_ms": 1204.98,
        "soma_area_cm2": AREA,
        "sweep": 3,
    }
    np.savez(path, **{key: value for key, value in (values | changes).items() if value is not None})
    return path


# Values


@pytest.mark.parametrize("write", [nwb1, nwb2])
@pytest.mark.parametrize("rate", [50_000.0, 100_000.0, 200_000.0])
def test_a_sweep_is_cut_around_its_step_and_thinned(tmp_path, write, rate):
    path = write(tmp_path / "cell.nwb", {57: sweep(rate)})
    found = read_recording(path, soma_area=AREA)
    assert found.name == "cell_sweep_57"
    t = np.arange(72_500) * 0.02
    # The window begins 815 ms into the sweep; float32 of numbers up to 128 is right to 8e-6, and 0.005 ms (a sample at
    # 200 kHz) makes 5e-5 mV: thinning from another sample, or a mean of four, would show.
    np.testing.assert_allclose(found.voltage, voltage_at(t + 815) - 14, rtol=0, atol=1e-5)
    # 150 pA = 1.5e-4 uA over 2e-4 cm^2. The test pulse is cut away.
    expected = np.where((np.arange(72_500) >= 10_250) & (np.arange(72_500) <= 60_249), 0.75, 0)
    np.testing.assert_allclose(found.current_density, expected, rtol=1e-6, atol=0)
    assert found.voltage.dtype == found.current_density.dtype == np.float32
    assert (found.dt, found.stimulus_on) == (0.02, 205.0)
    # The last sample with current, in the file's sampling.
    assert found.stimulus_off == pytest.approx(1205 - 1e3 / rate, abs=1e-6)
    assert found.amplitude == pytest.approx(0.75, rel=1e-6)
    assert found.initial_voltage == pytest.approx(-75.85, abs=1e-5)
    np.testing.assert_allclose(found.times[[0, 1, -1]], [0, 0.02, 1449.98])
    assert repr(found) == f"Recording('cell_sweep_57', 1450 ms, 0.75 uA/cm^2 from 205 to {found.stimulus_off:g} ms)"


def test_the_window_and_the_junction_potential_can_be_chosen(tmp_path):
    path = nwb1(tmp_path / "cell.nwb", {1: sweep(200_000.0)})
    found = read_recording(path, soma_area=AREA, junction_potential=-10.0, before=100.0, duration=1200.0)
    assert found.voltage.shape == (60_000,)
    assert found.stimulus_on == 100.0
    np.testing.assert_allclose(found.voltage, voltage_at(920 + found.times) - 10, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("scales", "conversions"),
    [
        # As pipeline versions from 1.1 on write it: the conversion counts.
        ((1e3, 1e12), (1e-3, 1e-12)),
        # Earlier: SI units, beside a conversion that must not be applied (AllenSDK's get_sweep).
        ((1.0, 1.0), (1e-3, 1e-12)),
        ((1.0, 1.0), (1.0, 1.0)),
    ],
)
def test_conversions_of_nwb_1(tmp_path, scales, conversions):
    content = sweep()
    content |= {"voltage": content["voltage"] * scales[0], "current": content["current"] * scales[1]}
    path = nwb1(tmp_path / "cell.nwb", {5: content | {"conversions": conversions}})
    found = read_recording(path, soma_area=AREA)
    np.testing.assert_allclose(found.voltage, voltage_at(815 + found.times) - 14, rtol=0, atol=1e-5)
    assert found.amplitude == pytest.approx(0.75, rel=1e-6)


def test_an_offset_of_nwb_2_is_added(tmp_path):
    path = nwb2(tmp_path / "cell.nwb", {5: sweep() | {"offset": 3e-3}})
    found = read_recording(path, soma_area=AREA)
    assert found.initial_voltage == pytest.approx(-75.85 + 3, abs=1e-5)


def test_without_an_experiment_epoch_the_longest_step_is_taken(tmp_path):
    content = sweep() | {"experiment": False, "units": ("V", None)}
    found = read_recording(nwb1(tmp_path / "cell.nwb", {5: content}), soma_area=AREA)
    assert found.stimulus_on == 205.0
    assert found.initial_voltage == pytest.approx(-75.85, abs=1e-5)


def test_a_hyperpolarizing_step(tmp_path):
    found = read_recording(nwb1(tmp_path / "cell.nwb", {5: sweep(pa=-110.0)}), soma_area=AREA)
    assert found.amplitude == pytest.approx(-0.55, rel=1e-6)


def test_what_follows_a_stopped_recording_is_not_read(tmp_path):
    content = sweep()
    stop = round(2270 * 50)
    content["voltage"][stop:] = np.nan
    # So large that the step would not count as current beside it.
    content["current"][stop:] = 2e-7
    content["epoch"] = (37_500, stop - 37_500)
    found = read_recording(nwb1(tmp_path / "cell.nwb", {5: content}), soma_area=AREA)
    assert found.stimulus_off == pytest.approx(1204.98)
    content["epoch"] = (37_500, stop - 500 - 37_500)
    path = nwb1(tmp_path / "cell.nwb", {5: content})
    with pytest.raises(ValueError, match="recording from 0 to 2260 ms, which does not hold the window from 815 to 226"):
        read_recording(path, soma_area=AREA)


def test_an_npz_file(tmp_path):
    found = read_recording(npz(tmp_path / "mine.npz"))
    np.testing.assert_allclose(found.voltage, voltage_at(found.times) - 14, rtol=0, atol=1e-5)
    assert found.amplitude == pytest.approx(0.5, rel=1e-6)
    assert read_recording(npz(tmp_path / "mine.npz"), soma_area=2 * AREA).amplitude == pytest.approx(0.25, rel=1e-6)
    assert read_recording(npz(tmp_path / "mine.npz", soma_area_cm2=None), soma_area=AREA).name == "mine"


# Real recordings


@real
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_recordings(path):
    found = read_recording(path)
    with np.load(path) as arrays:
        # Independent of the class: numpy on the arrays of the file.
        np.testing.assert_array_equal(found.voltage, (arrays["voltage_mV"].astype(float) - 14).astype(np.float32))
        density = arrays["current_uA"].astype(float) / float(arrays["soma_area_cm2"])
    np.testing.assert_allclose(found.current_density, density, rtol=1e-7)
    assert found.amplitude == pytest.approx(density[10_250:60_250].mean(), rel=1e-6)
    assert found.name == path.stem
    assert found.voltage.shape == (72_500,)
    assert found.stimulus_on == 205.0


@real
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
@pytest.mark.parametrize("rate", [50_000, 200_000])
def test_a_real_recording_written_as_nwb_comes_back(tmp_path, path, rate):
    with np.load(path) as arrays:
        voltage, current = arrays["voltage_mV"], arrays["current_uA"]
        area, off = float(arrays["soma_area_cm2"]), float(arrays["stimulus_off_ms"])
    every = rate // 50_000
    # Between the samples voltages are interpolated, so that another choice of samples would be seen.
    fine = np.interp(np.arange(len(voltage) * every) / every, np.arange(len(voltage)), voltage)
    padding = round(0.815 * rate)
    content = {
        "voltage": (np.pad(fine, (padding, 100), constant_values=-60) * 1e-3).astype(np.float32),
        "current": (np.pad(np.repeat(current, every), (padding, 100)) * 1e-6).astype(np.float32),
        "rate": float(rate),
    }
    content["current"][round(0.02 * rate) : round(0.12 * rate)] = -50e-12
    name, number = path.stem.split("_sweep_")
    found = read_recording(nwb1(tmp_path / f"{name}.nwb", {int(number): content}), soma_area=area)
    expected = read_recording(path)
    assert found.name == expected.name
    # Volts in float32: 2^-24 of up to 0.1 V, and rounding once more.
    np.testing.assert_allclose(found.voltage, expected.voltage, rtol=0, atol=1.5e-5)
    np.testing.assert_allclose(found.current_density, expected.current_density, rtol=3e-7)
    assert (found.dt, found.stimulus_on) == (expected.dt, expected.stimulus_on)
    # One of the five was recorded at 200 kHz; its 1204.99 is 1204.995 cut off by a rounding error.
    recorded_at = 200_000 if off == 1204.99 else 50_000
    if rate == recorded_at:
        assert found.stimulus_off == pytest.approx(off, abs=1e-9 if rate == 50_000 else 0.005 + 1e-9)
        windows = [Windows.of(r.dt, r.stimulus_on, r.stimulus_off) for r in (found, expected)]
        assert windows[0] == windows[1]


@real
def test_a_folder_of_real_recordings():
    assert [recording.name for recording in read_recordings(ALLEN)] == [path.stem for path in REAL]


# Choosing a sweep, folders


def several() -> dict[int, dict[str, Any]]:
    ramp = sweep()
    ramp["current"] = np.linspace(0, 1e-10, len(ramp["current"]))
    short = sweep()
    short["current"][round(1023 * 50) :] = 0
    return {
        9: sweep(pa=-110.0),
        57: sweep(pa=170.0),
        4: ramp | {"name": "Ramp"},
        5: short | {"name": "Short Square"},
        6: sweep() | {"units": ("Amps", "Volts"), "name": "Test"},
    }


def test_several_sweeps_are_listed(tmp_path):
    path = nwb1(tmp_path / "cell.nwb", several())
    with pytest.raises(ValueError, match=r"choose one by `sweep=`: 9 \(-110 pA, \"Long Square\"\), 57 \(170 pA, \"Lo"):
        read_recording(path, soma_area=AREA)
    assert read_recording(path, sweep=57, soma_area=AREA).amplitude == pytest.approx(0.85, rel=1e-6)
    with pytest.raises(ValueError, match=r"cell.nwb: has no sweep 58. There are sweeps 4, 5, 6, 9, 57."):
        read_recording(path, sweep=58, soma_area=AREA)
    with pytest.raises(ValueError, match="sweep 6 was recorded in voltage clamp"):
        read_recording(path, sweep=6, soma_area=AREA)
    with pytest.raises(ValueError, match='current of sweep 4 is not a square step, "Ramp"'):
        read_recording(path, sweep=4, soma_area=AREA)


def test_several_sweeps_of_nwb_2(tmp_path):
    sweeps = {3: sweep(pa=90.0), 4: sweep() | {"kind": "VoltageClamp"}, 5: sweep() | {"stimulus": False}}
    path = nwb2(tmp_path / "cell.nwb", sweeps)
    assert read_recording(path, soma_area=AREA).name == "cell_sweep_3"
    with pytest.raises(ValueError, match="sweep 4 was recorded in voltage clamp"):
        read_recording(path, sweep=4, soma_area=AREA)
    with pytest.raises(ValueError, match="sweep 5 was recorded in current clamp without an injected current"):
        read_recording(path, sweep=5, soma_area=AREA)
    with h5py.File(path, "a") as file:
        file.copy("acquisition/data_01003_AD0", "acquisition/data_01003_AD1")
    with pytest.raises(ValueError, match=r"sweep 3 has several recordings .*AD0, .*AD1, .*DA0"):
        read_recording(path, soma_area=AREA)


def test_a_folder_with_side_files(tmp_path):
    npz(tmp_path / "b.npz")
    nwb1(tmp_path / "a.nwb", several())
    nwb2(tmp_path / "c.nwb", {3: sweep()})
    (tmp_path / "notes.txt").write_text("left alone")
    (tmp_path / "a.toml").write_text("soma_area = 2e-4\nsweep = [57, 9]\n")
    (tmp_path / "c.toml").write_text("soma_area = 1e-4\njunction_potential = 0\n")
    found = read_recordings(tmp_path)
    assert [recording.name for recording in found] == ["a_sweep_57", "a_sweep_9", "b", "c_sweep_3"]
    assert [round(recording.amplitude, 6) for recording in found] == [0.85, -0.55, 0.5, 1.5]
    assert found[3].initial_voltage == pytest.approx(-61.85, abs=1e-5)
    assert [recording.name for recording in read_recordings(tmp_path / "c.nwb")] == ["c_sweep_3"]
    assert [recording.name for recording in read_recordings(tmp_path / "b.npz")] == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soma_area 1", "a.toml cannot be read as TOML"),
        ("area = 1e-4", "a.toml: area is unknown. Keys: sweep, soma_area, junction_potential"),
        ("sweep = 57", "a.nwb: `soma_area` is missing.* `soma_area = 1.857e-4` in a.toml beside the file"),
        ("soma_area = '1e-4'", "a.toml: `soma_area` must be a number, got '1e-4'"),
        ("soma_area = 1e-4\nsweep = [1.5]", r"a.toml: `sweep` must be a whole number or a list of them, got \[1.5\]"),
        ("soma_area = 1e-4\nsweep = []", "a.toml: `sweep` must be a whole number"),
    ],
)
def test_wrong_side_files(tmp_path, text, message):
    nwb1(tmp_path / "a.nwb", {57: sweep()})
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recordings(tmp_path)


def test_wrong_folders(tmp_path):
    with pytest.raises(ValueError, match=r"holds no recordings \(.npz or .nwb\)"):
        read_recordings(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder or file"):
        read_recordings(tmp_path / "absent")


# Messages


def test_wrong_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*absent.npz"):
        read_recording(tmp_path / "absent.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_recording(tmp_path)
    (tmp_path / "trace.abf").write_bytes(b"ABF2")
    with pytest.raises(ValueError, match=r"trace.abf: expected a file that ends with .npz or .nwb, got .abf"):
        read_recording(tmp_path / "trace.abf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voltage_mV": None, "dt_ms": None}, "mine.npz lacks voltage_mV, dt_ms. Expected the arrays voltage_mV, curr"),
        ({"soma_area_cm2": None}, "mine.npz lacks soma_area_cm2"),
        ({"current_uA": np.full(72_499, 1e-4)}, "72500 samples of voltage, but 72499 of current"),
        ({"voltage_mV": np.where(np.arange(72_500) == 7, np.nan, -60.0)}, r"`voltage` has 1 value\(s\) .* at index 7"),
        ({"current_uA": np.where(np.arange(72_500) < 2, np.inf, 1e-4)}, r"`current_density` has 2 value\(s\)"),
        ({"voltage_mV": np.full(72_500, -0.06)}, "seems to be in volts; mV are expected: multiply by 1000"),
        ({"voltage_mV": np.full(72_500, -6e4)}, "the voltage reaches 6e.04 mV, which no neuron does"),
        ({"voltage_mV": np.full((2, 72_500), -60.0)}, r"voltage_mV must be a row of numbers, got shape \(2, 72500\)"),
        ({"voltage_mV": np.array(["a"])}, "voltage_mV must be a row of numbers, .* dtype <U1"),
        ({"current_uA": np.zeros(72_500)}, "no stimulus in the window: the current is zero throughout"),
        ({"current_uA": np.full(72_500, 100.0)}, "the current reaches 100 uA, .*Multiply pA by 1e-6, nA by 0.001"),
        ({"current_uA": np.full(72_500, 0.1)}, "the current reaches 0.1 uA"),
        ({"current_uA": np.full(72_500, 1e-10)}, "the current reaches 1e-10 uA"),
        ({"soma_area_cm2": 2e4}, r"the soma area is 20000.0 cm\^2, .* Multiply um\^2 by 1e-8, mm\^2 by 0.01"),
        ({"soma_area_cm2": 2e-2}, "the soma area is 0.02"),
        ({"soma_area_cm2": -2e-4}, "the soma area is -0.0002"),
        ({"dt_ms": 0.05}, "dt is 0.05 ms; the model's step is 0.02 ms. Resample"),
        ({"dt_ms": np.array([0.02, 0.02])}, "dt_ms must be a number"),
        ({"stimulus_on_ms": 0.205, "stimulus_off_ms": 1.20498}, "no current flows .* Is the window in ms?"),
        ({"stimulus_off_ms": 205.0}, "must be within the recording of 1450 ms, got from 205.0 to 205.0 ms"),
        ({"stimulus_off_ms": 1500.0}, "must be within the recording of 1450 ms"),
    ],
)
def test_wrong_npz_files(tmp_path, changes, message):
    path = npz(tmp_path / "mine.npz", **changes)
    with pytest.raises(ValueError, match=message):
        read_recording(path)


def test_wrong_arguments(tmp_path):
    path = npz(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match="mine.npz is sweep 3, but `sweep` is 4"):
        read_recording(path, sweep=4)
    with pytest.raises(ValueError, match="`junction_potential` must be a number of mV, got nan"):
        read_recording(path, junction_potential=float("nan"))
    (tmp_path / "bad.npz").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"bad.npz cannot be read as an .npz file"):
        read_recording(tmp_path / "bad.npz")
    path = nwb1(tmp_path / "cell.nwb", {1: sweep()})
    with pytest.raises(ValueError, match="cell.nwb: `soma_area` is missing. It is the area of the membrane in cm"):
        read_recording(path)
    with pytest.raises(ValueError, match="`before` and `duration` must be ms with 0.02 <= before < duration, got 300"):
        read_recording(path, soma_area=AREA, before=300.0, duration=200.0)
    with pytest.raises(ValueError, match="the soma area is 200.0"):
        read_recording(path, soma_area=200.0)


def changed_file(tmp_path: Path, change: Any, write: Any = nwb1) -> Path:
    path = write(tmp_path / "cell.nwb", {1: sweep()})
    with h5py.File(path, "a") as file:
        change(file)
    return path


RESPONSE, STIMULUS = "acquisition/timeseries/Sweep_1", "stimulus/presentation/Sweep_1"


def replace(file: Any, name: str, data: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = data
    file[name].attrs.update(attributes)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda file: file.pop("acquisition"), {}, "cell.nwb: has no sweeps. Expected /acquisition/timeseries/Sweep_N"),
        (lambda file: file.pop(STIMULUS), {}, "none of the 1 sweeps is a current-clamp sweep .*; there are sweeps 1"),
        (lambda file: file.pop(STIMULUS), {"sweep": 1}, "without an injected current"),
        (
            lambda file: file.pop(f"{RESPONSE}/starting_time"),
            {},
            "/Sweep_1 has no starting_time, which NWB prescribes. It has data, num_samples",
        ),
        (lambda file: file[f"{STIMULUS}/starting_time"].attrs.pop("rate"), {}, "has no attribute `rate`"),
        (lambda file: file.pop("epochs/Experiment_1/stimulus/count"), {}, "has no count, which NWB prescribes"),
        (
            lambda file: file[f"{RESPONSE}/starting_time"].attrs.modify("rate", 25_000.0),
            {},
            "the current is sampled at 50000 Hz, the voltage at 25000 Hz",
        ),
        (
            lambda file: replace(file, f"{RESPONSE}/data", np.zeros(9)),
            {},
            "9 samples of voltage, but 120000 of curr",
        ),
        (lambda file: replace(file, f"{RESPONSE}/data", np.zeros((9, 2))), {}, r"must be a row of numbers, got shape"),
        (lambda file: replace(file, f"{STIMULUS}/data", np.zeros(120_000)), {"sweep": 1}, "has no stimulus: its curr"),
        (lambda file: replace(file, f"{RESPONSE}/data", np.full(120_000, -60.0)), {}, "which no neuron does"),
        (lambda file: file["epochs"].pop("Experiment_1"), {"before": 950.0, "duration": 2000.0}, "other current flows"),
        (lambda file: None, {"before": 1050.0, "duration": 2000.0}, "which does not hold the window from -30 to"),
        (lambda file: None, {"duration": 1000.0}, "the window ends at 1815 ms. Make `duration` longer"),
        (lambda file: None, {"duration": 1600.0}, "does not hold the window from 815 to 2415 ms"),
    ],
)
def test_wrong_nwb_files(tmp_path, change, arguments, message):
    path = changed_file(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        read_recording(path, soma_area=AREA, **arguments)
    assert str(caught.value).startswith("cell")


@pytest.mark.parametrize("rate", [20_000.0, 40_000.0, 125_000.0])
def test_sampling_rates_that_cannot_be_thinned(tmp_path, rate):
    path = nwb2(tmp_path / "cell.nwb", {1: sweep(rate)})
    with pytest.raises(ValueError, match=f"sampled at {rate:g} Hz; the model's step is 0.02 ms.*multiple of 50,000"):
        read_recording(path, soma_area=AREA)


def test_damaged_hdf5(tmp_path):
    path = nwb1(tmp_path / "cell.nwb", {1: sweep()})
    content = path.read_bytes()
    for kept in (100, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match="cell.nwb cannot be opened as HDF5, which NWB files are"):
            read_recording(path, soma_area=AREA)
    with h5py.File(path, "w") as file:
        for name in (RESPONSE, STIMULUS):
            add_series(file.create_group(name), np.zeros(3), 5e4, "Volts")
            del file[name]["data"]
            file[name].create_dataset("data", data=np.arange(120_000.0), compression="gzip", chunks=(120_000,))
        at = file[RESPONSE]["data"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)
    with h5py.File(path, "a") as file:
        file.move(STIMULUS, "spare")
        file.copy("acquisition/timeseries/Sweep_1", STIMULUS)
        file[STIMULUS]["data"].attrs["unit"] = "Amps"
    with pytest.raises(ValueError, match="cell.nwb is damaged or not a complete NWB file"):
        read_recording(path, sweep=1, soma_area=AREA)


def test_without_h5py(tmp_path, monkeypatch):
    path = nwb1(tmp_path / "cell.nwb", {1: sweep()})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"reading NWB files needs h5py: pip install 'genbayes\[tasks\]'"):
        read_recording(path, soma_area=AREA)
    assert read_recording(npz(tmp_path / "mine.npz")).name == "mine"


def test_a_recording_keeps_its_window_when_made_by_hand():
    current = np.zeros(100, np.float32)
    current[10:20] = 2
    made = Recording("made", np.full(100, -60, np.float32), current, 0.02, 0.2, 0.38)
    assert made.amplitude == 2
    with pytest.raises(ValueError, match="made: 99 samples of voltage, but 100 of current"):
        Recording("made", np.full(99, -60, np.float32), current, 0.02, 0.2, 0.38)
