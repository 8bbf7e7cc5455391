"""The Hodgkin-Huxley simulator: exact against reference runs, its float32 statistics against float64, its noise."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

import genbayes as gb
from genbayes import hodgkin_huxley as hh
from genbayes.hodgkin_huxley import arithmetic, model, simulator
from genbayes.hodgkin_huxley.statistics import Moments, Spikes, Windows
from genbayes.runtime.seeds import SIMULATOR_STREAM, row_key
from genbayes.simulations.simulators import qualified_name

DATA = Path(__file__).parents[3] / "shared" / "data"
REFERENCE = DATA / "hodgkin_huxley_reference.npz"
CELL = "cell_518290966_sweep_57"
needs_data = pytest.mark.skipif(not REFERENCE.is_file(), reason="needs ../shared/data, which is not shipped")
DT, ON, OFF = 0.02, 205.0, 1204.98
# In the order of the prior: a cell that fires through the stimulus, one that the least possible noise barely moves, and
# one whose sodium channels stay closed at a high voltage.
SPIKING = [50.0, 5.0, 0.05, 0.03, 600.0, 60.0, 0.1, 70.0]
QUIET = [0.5, 15.0, 0.6, 0.6, 3000.0, 40.0, 1e-4, 80.0]
DEPOLARISED = [20.0, 1e-4, 0.3, 1e-4, 50.0, 90.0, 0.15, 35.0]


@pytest.fixture(scope="module")
def stimulus() -> hh.Stimulus:
    """The step of current of the reference runs."""
    current = np.zeros(72_500)
    current[10_250:60_250] = 0.915384612
    return hh.Stimulus(current, DT, ON, OFF, -86.78125)


@pytest.fixture(scope="module")
def short() -> hh.Stimulus:
    """90 ms, in blocks that end anywhere."""
    current = np.zeros(4_500)
    current[1_013:4_004] = 1.5
    return hh.Stimulus(current, DT, 1_013 * DT, 4_004 * DT, -70.0)


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def reference() -> Any:
    with np.load(REFERENCE) as file:
        return dict(file)


def reference_stimulus(reference: Any) -> hh.Stimulus:
    with np.load(DATA / "allen" / f"{CELL}.npz") as file:
        current = file["current_uA"] / file["soma_area_cm2"]
        window = float(file["stimulus_on_ms"].item()), float(file["stimulus_off_ms"].item())
        return hh.Stimulus(current, float(file["dt_ms"].item()), *window, float(reference["initial_voltage_mV"].item()))


def streamed(theta: np.ndarray, noise: np.ndarray, stimulus: hh.Stimulus) -> np.ndarray:
    """The streaming statistics of runs with given noise (n, steps), in the precision of theta."""
    normals = jnp.pad(jnp.asarray(noise, theta.dtype).T, ((0, simulator.BLOCK), (0, 0)))

    @jax.jit
    def run(theta: jax.Array, normals: jax.Array) -> jax.Array:
        def block(first: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(normals, first, simulator.BLOCK)

        start = jnp.full_like(theta[0], stimulus.initial_voltage)
        return simulator.statistics(block, theta, jnp.ones_like(start), start, stimulus)

    return np.asarray(run(jnp.asarray(theta).T, normals)).T


def textbook_gates(v: np.ndarray, tau_max: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Steady states and rates as the model is usually written, V_T = 0."""

    def efun(z: np.ndarray) -> np.ndarray:
        return np.where(z == 0, 1, z / np.where(z == 0, 1, np.expm1(z)))

    alpha_m, beta_m = 0.32 * efun(-0.25 * (v - 13)) / 0.25, 0.28 * efun(0.2 * (v - 40)) / 0.2
    alpha_h, beta_h = 0.128 * np.exp(-(v - 17) / 18), 4 / (1 + np.exp(-0.2 * (v - 40)))
    alpha_n, beta_n = 0.032 * efun(-0.2 * (v - 15)) / 0.2, 0.5 * np.exp(-(v - 10) / 40)
    p = 1 / (1 + np.exp(-0.1 * (v + 35)))
    tau_p = tau_max / (3.3 * np.exp(0.05 * (v + 35)) + np.exp(-0.05 * (v + 35)))
    pairs = ((alpha_m, beta_m), (alpha_h, beta_h), (alpha_n, beta_n))
    return [a / (a + b) for a, b in pairs] + [p], [a + b for a, b in pairs] + [1 / tau_p]


def prior_rows(n: int, seed: int) -> np.ndarray:
    return np.asarray(hh.prior().sample(n, seed=seed))


# --- exactness -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_data
def test_reference_traces_and_statistics(reference: Any, float64: None) -> None:
    """The published simulator's runs with its own noise: 2 traces, 200 rows of statistics, two ways to compute them."""
    stimulus = reference_stimulus(reference)
    theta = reference["theta"].astype(np.float64)
    noise = np.stack([np.random.RandomState(seed).randn(stimulus.steps) for seed in reference["noise_seeds"]])
    voltage = np.asarray(hh.traces(theta, stimulus, noise=noise))
    assert voltage.dtype == np.float64
    # The reference is stored in float32: 8e-6 mV.
    np.testing.assert_allclose(voltage[:2], reference["traces_mV"], rtol=0, atol=1e-5)
    offline = hh.summary_statistics(voltage, dt=DT, on=ON, off=OFF)
    streaming = streamed(theta, noise, stimulus)
    for ours in (offline, streaming):
        np.testing.assert_array_equal(ours[:, 0], reference["summary_statistics"][:, 0])
        # Rounding, amplified by spikes' sensitivity to it.
        np.testing.assert_allclose(ours, reference["summary_statistics"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(streaming, offline, rtol=1e-9)
    wrong = np.roll(noise, 1, axis=1)  # the noise between two samples taken for that before them
    assert np.abs(np.asarray(hh.traces(theta[:2], stimulus, noise=wrong[:2])) - reference["traces_mV"]).max() > 0.01


@needs_data
def test_statistics_of_recordings(reference: Any) -> None:
    """Stored with the cell of the stimulus first, the others by name; computed in float32."""
    files = sorted((DATA / "allen").glob("*.npz"), key=lambda path: (path.stem != CELL, path.stem))
    for path, expected in zip(files, reference["summary_statistics_recordings"], strict=True):
        with np.load(path) as file:
            window = {"on": float(file["stimulus_on_ms"].item()), "off": float(file["stimulus_off_ms"].item())}
            found = hh.summary_statistics(file["voltage_mV"] - 14.0, dt=float(file["dt_ms"].item()), **window)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@needs_data
def test_prior_bounds(reference: Any) -> None:
    bounds = np.array(list(model.BOUNDS.values()), np.float32)
    np.testing.assert_array_equal(bounds, np.stack([reference["prior_low"], reference["prior_high"]], axis=1))
    draws = prior_rows(20_000, 0)
    # The extremes of n uniform draws lie within 20 / n of the range of the bounds, but for exp(-20).
    width = bounds[:, 1] - bounds[:, 0]
    assert np.all(draws.min(axis=0) < bounds[:, 0] + 1e-3 * width)
    assert np.all(draws.max(axis=0) > bounds[:, 1] - 1e-3 * width)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gates_are_those_of_the_textbook(precision: str) -> None:
    """On a grid and within rounding of the three voltages where alpha_m, beta_m and alpha_n are 0 / 0 as written."""
    near = np.concatenate([[0], np.geomspace(1e-7, 2, 200)])
    v = np.concatenate([np.linspace(-100, 115, 5001), *(c + s * near for c in (13, 40, 15) for s in (-1, 1))])
    tolerance = {"float32": 3e-5, "float64": 1e-11}[precision]
    with jax.enable_x64(precision == "float64"):
        voltage = jnp.asarray(v, precision)
        theta = jnp.zeros((8, len(v)), precision).at[4].set(50.0)
        steady, share = jax.jit(lambda u: model.gates(u, theta, DT))(voltage)
        expected, rates = textbook_gates(np.asarray(voltage, np.float64), 50.0)
    for ours, theirs in zip(steady, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-30)
    for ours, rate in zip(share, rates, strict=True):
        np.testing.assert_allclose(ours, -np.expm1(-DT * rate), rtol=tolerance)


def test_gates_stay_finite_far_outside(float64: None) -> None:
    for precision in ("float32", "float64"):
        voltage = jnp.asarray([-1e5, -400.0, 400.0, 1e5], precision)
        theta = jnp.broadcast_to(jnp.asarray(SPIKING, precision)[:, None], (8, 4))
        steady, share = model.gates(voltage, theta, DT)
        values = np.array([*steady, *share])
        assert np.all((values >= 0) & (values <= 1 + 1e-6))


def test_passive_membrane(float64: None, stimulus: hh.Stimulus) -> None:
    """Without sodium, potassium and M current the voltage relaxes exponentially, exactly for every step length."""
    leak, reversal = 0.05, 65.0
    theta = np.array([[0.0, 0.0, leak, 0.0, 600.0, 60.0, 0.0, reversal]])
    voltage = np.asarray(hh.traces(theta, stimulus, noise=np.zeros((1, stimulus.steps))))[0]
    times = DT * np.arange(stimulus.steps)
    decay = stimulus.initial_voltage + reversal
    np.testing.assert_allclose(voltage[:10_251], -reversal + decay * np.exp(-leak * times[:10_251]), rtol=1e-10)
    since = times[10_250:60_251] - ON
    target = -reversal + 0.915384612 / leak
    expected = target + (voltage[10_250] - target) * np.exp(-leak * since)
    np.testing.assert_allclose(voltage[10_250:60_251], expected, rtol=1e-10)


def test_passive_membrane_under_noise(stimulus: hh.Stimulus) -> None:
    """The noise of a passive membrane is a first-order autoregression with known variance, in float32 and streamed."""
    leak, noise, n = 0.5, 0.1, 256
    theta = np.tile(np.array([0.0, 0.0, leak, 0.0, 600.0, 60.0, noise, 65.0], np.float32), (n, 1))
    x = gb.simulate_at(hh.HodgkinHuxley(stimulus), theta, seed=0, progress=False).x
    kept = np.exp(-DT * leak)
    variance = (noise / DT**0.5 / leak * (1 - kept)) ** 2 / (1 - kept**2)
    # Of 1025 samples correlated over 2 / leak = 4 ms, 20.5 ms hold about five independent ones, whose mean takes its
    # share of the variance: Var(sample mean) / variance = (2 / T') (1 - (1 - exp(-T')) / T'), T' = 20.5 leak.
    span = 20.5 * leak
    expected = variance * (1 - 2 / span * (1 - (1 - np.exp(-span)) / span))
    squares = x[:, 2] ** 2
    # Four standard errors over the runs.
    assert abs(squares.mean() - expected) < 4 * squares.std() / np.sqrt(n) + 0.01 * expected
    assert abs(squares.mean() - expected) < 0.15 * expected
    # Rest is the mean of 205 ms: the relaxation from the initial voltage (2 ms) is 1 % of it.
    relaxing = (stimulus.initial_voltage + 65.0) / (leak * 205.0)
    assert abs(x[:, 1].mean() - (-65.0 + relaxing)) < 4 * x[:, 1].std() / np.sqrt(n) + 1e-3


# --- spikes --------------------------------------------------------------------------------------------------------


def clamped_count(trace: np.ndarray, window: tuple[int, int]) -> int:
    """The published recipe: flatten what is low or falls, then what still falls are peaks; 25 steps are 0.5 ms."""
    v = np.maximum(trace, -10.0)
    v[np.flatnonzero(np.diff(v) < 0)] = -10.0
    peaks = np.flatnonzero(np.diff(v) < 0)
    peaks = peaks[(peaks >= window[0]) & (peaks < window[1])]
    return int(np.sum(np.append(np.inf, np.diff(peaks))[: len(peaks)] >= 25))


def streamed_count(traces: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Spikes of traces (n, steps), sample by sample."""

    def add(carry: tuple[Spikes, jax.Array, jax.Array], now: jax.Array) -> tuple[Any, None]:
        spikes, before, sample = carry
        return (spikes.add(before, now, sample, window, 25), now, sample + 1), None

    columns = jnp.asarray(traces.T)
    (spikes, _, _), _ = jax.lax.scan(add, (Spikes.none(columns[0], 25), columns[0], jnp.asarray(1)), columns[1:])
    return np.asarray(spikes.count)


def test_spikes_of_jagged_traces() -> None:
    """Random walks through the threshold, plateaus included: the recipe, the offline and the streaming count agree."""
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(300, 2_000)), axis=1)
    smooth = 40 * np.sin(np.arange(2_000) / rng.uniform(3, 12, (300, 1))) + rng.normal(size=(300, 2_000))
    traces = np.round(np.concatenate([walks, smooth]) - 10.0, 1).astype(np.float32)
    window = Windows.of(DT, 10.0, 36.0)
    expected = [clamped_count(trace, window.stimulus) for trace in traces]
    assert np.ptp(expected) > 20
    np.testing.assert_array_equal(hh.summary_statistics(traces, dt=DT, on=10.0, off=36.0)[:, 0], expected)
    np.testing.assert_array_equal(streamed_count(traces, window.stimulus), expected)
    later = (window.stimulus[0] + 40, window.stimulus[1])
    assert np.any(streamed_count(traces, later) != expected)


def test_spikes_of_a_simple_trace() -> None:
    """Three peaks of which two are 0.3 ms apart, one below the threshold, one before the stimulus: two spikes."""
    trace = np.full(3_000, -70.0)
    for peak, height in ((300, 30.0), (1_000, 30.0), (1_015, 20.0), (1_500, -12.0), (2_000, 5.0)):
        trace[peak - 3 : peak + 3] = np.array([-60.0, height - 1.5, height - 0.5, height, height - 40, -65.0])
    found = hh.summary_statistics(trace, dt=DT, on=10.0, off=55.0)
    assert found.shape == (7,)
    assert found[0] == 2


# --- moments in float32 --------------------------------------------------------------------------------------------


def accumulated(voltage: np.ndarray) -> Moments:
    """Moments of float32 voltages (n, steps) in blocks, the last one part empty."""
    n, steps = voltage.shape
    blocks = -(-steps // simulator.BLOCK)
    padded = np.zeros((blocks * simulator.BLOCK, n), np.float32)
    padded[:steps] = voltage.T
    inside = (np.arange(len(padded)) < steps).reshape(blocks, -1)

    @jax.jit
    def run(voltage: jax.Array, inside: jax.Array) -> Moments:
        start = Moments.none(voltage[0, 0])
        return jax.lax.scan(lambda total, part: (total.add(*part), None), start, (voltage, inside))[0]

    return run(jnp.asarray(padded.reshape(blocks, -1, n)), jnp.asarray(inside))


def naive(voltage: np.ndarray) -> np.ndarray:
    """The mutant: sums of powers in float32, then the binomial formulas."""

    def add(sums: jax.Array, v: jax.Array) -> tuple[jax.Array, None]:
        return sums + jnp.stack([v, v**2, v**3, v**4]), None

    sums, _ = jax.lax.scan(add, jnp.zeros((4, len(voltage)), jnp.float32), jnp.asarray(voltage.T))
    e1, e2, e3, e4 = np.asarray(sums / voltage.shape[1])
    variance = e2 - e1**2
    with np.errstate(invalid="ignore", divide="ignore"):
        m3, m4 = e3 - 3 * e1 * e2 + 2 * e1**3, e4 - 4 * e1 * e3 + 6 * e1**2 * e2 - 3 * e1**4
        return np.stack([e1, variance, m3 / variance**1.5, m4 / variance**2], axis=1)


def moments_table(m: Moments) -> np.ndarray:
    return np.stack([m.absolute_mean(), m.variance(), m.skewness(), m.kurtosis()], axis=1)


def relative_errors(found: np.ndarray, voltage: np.ndarray) -> np.ndarray:
    """Errors of mean, variance, skewness and kurtosis against float64, relative to what they can be read against."""
    v = voltage.astype(np.float64)
    variance, skewness, kurtosis = v.var(axis=1), stats.skew(v, axis=1), stats.kurtosis(v, axis=1, fisher=False)
    scale = np.stack([np.abs(v.mean(axis=1)), variance, np.sqrt(kurtosis), kurtosis], axis=1)
    return np.abs(found - np.stack([v.mean(axis=1), variance, skewness, kurtosis], axis=1)) / scale


@pytest.mark.slow
def test_moments_lose_nothing_in_float32(stimulus: hh.Stimulus) -> None:
    """Streaming float32 against offline float64 moments of the same float32 traces: silent, spiking, odd ones.

    Rounding: a block's sums have 64 terms, and 782 blocks are merged: about sqrt(64 + 782) = 29 half units in the last
    place (6e-8), 2e-6 for sums of random signs, and at worst 846 of them, 5e-5, for sums that all round one way.
    """
    theta = np.concatenate([prior_rows(42, 3), np.array([SPIKING] * 2 + [QUIET] * 2 + [DEPOLARISED] * 2, np.float32)])
    whole = np.asarray(hh.traces(theta, stimulus, seed=1))
    # The whole stimulus; the last part of it, when silent cells have settled; and far from zero.
    voltage, settled = whole[:, 10_251:60_249], whole[:, 40_000:60_249]
    variances = settled.astype(np.float64).var(axis=1)
    assert variances.min() < 2e-5
    assert variances.max() > 100
    for shifted in (voltage, settled, voltage[:8] * np.float32(0.01) + np.float32(30_000)):
        errors = relative_errors(moments_table(accumulated(shifted)), shifted)
        assert errors.max() < 5e-5, errors.max(axis=0)
    wrong = relative_errors(naive(voltage), voltage)
    assert np.nanmax(wrong[:, 1]) > 0.01
    assert np.mean(~(wrong.max(axis=1) < 1e-3)) > 0.3


def test_merging_is_exact_in_any_grouping(float64: None) -> None:
    rng = np.random.default_rng(1)
    voltage = rng.gamma(0.3, size=(5, 200)) * 50 - 80
    parts = [voltage[:, :1], voltage[:, 1:90], voltage[:, 90:]]
    first, second, third = (
        Moments.none(jnp.zeros(5)).add(jnp.asarray(part.T), jnp.ones(part.shape[1], bool)) for part in parts
    )
    for total in (first.merge(second).merge(third), third.merge(first.merge(second)), second.merge(third).merge(first)):
        assert relative_errors(moments_table(total), voltage).max() < 1e-12


@pytest.mark.slow
def test_float32_runs_are_those_of_float64_in_law(stimulus: hh.Stimulus) -> None:
    """Shared noise, 200 prior draws: silent runs agree one by one, all of them on average."""
    n = 200
    theta = prior_rows(n, 5)
    noise = np.random.default_rng(0).standard_normal((n, stimulus.steps), np.float32)
    single = streamed(theta, noise, stimulus).astype(np.float64)
    with jax.enable_x64(True):
        double = streamed(theta.astype(np.float64), noise, stimulus)
    assert np.isfinite(single).all()
    quiet = double[:, 0] == 0
    assert quiet.sum() > 50
    # Rounding of the voltage (4e-6 mV a step) against noise of 0.005 mV or more; gates err by 1e-5.
    relative = np.abs(single[quiet, 1:] / double[quiet, 1:] - 1)
    assert np.median(relative.max(axis=1)) < 1e-3
    assert np.quantile(relative.max(axis=1), 0.9) < 0.01
    scale = double.std(axis=0)
    difference = (single - double) / scale
    # Spikes are sensitive to the last digit, so single runs may differ; the mean difference must be noise.
    assert np.all(np.abs(difference.mean(axis=0)) < 4 * difference.std(axis=0) / np.sqrt(n) + 1e-4)
    assert np.all(np.abs(difference.mean(axis=0)) < 0.01)
    for j in range(7):
        test: Any = stats.ks_2samp(single[:, j], double[:, j], method="asymp")
        assert test.pvalue > 0.01
    # A wrong constant would show: capacitance 2 % off is time 2 % off.
    off = hh.Stimulus(stimulus.current_density, DT * 1.02, ON * 1.02, OFF * 1.02, stimulus.initial_voltage)
    mutant = (streamed(theta, noise, off) - double) / scale
    assert np.any(np.abs(mutant.mean(axis=0)) > 4 * mutant.std(axis=0) / np.sqrt(n) + 1e-4)


@pytest.mark.slow
def test_a_thousand_prior_runs_are_finite(stimulus: hh.Stimulus) -> None:
    simulations = gb.simulate(hh.HodgkinHuxley(stimulus), hh.prior(), 1_024, seed=2, progress=False)
    assert np.isfinite(simulations.x).all()
    assert np.all(simulations.x[:, 4] > 0)
    # Kurtosis is at least one plus squared skewness (Pearson), for every distribution.
    assert np.all(simulations.x[:, 6] >= (1 + simulations.x[:, 5] ** 2) * (1 - 1e-4))


# --- noise ---------------------------------------------------------------------------------------------------------


def test_threefry_is_that_of_jax() -> None:
    words = jnp.asarray([0x12345678, 0x9ABCDEF0], jnp.uint32)
    counter = jnp.arange(1_000, dtype=jnp.uint32) * np.uint32(4_000_037)
    ours = jnp.concatenate(arithmetic.threefry(words[0], words[1], counter))
    np.testing.assert_array_equal(ours, threefry_2x32(words, jnp.concatenate([jnp.zeros_like(counter), counter])))


def test_fast_functions() -> None:
    x = np.linspace(-85, 85, 100_001).astype(np.float32)
    np.testing.assert_allclose(jax.jit(arithmetic.exp)(x), np.exp(x.astype(np.float64)), rtol=3e-7)
    x = np.concatenate([[0], np.geomspace(1e-12, 80, 100_001)]).astype(np.float32)
    np.testing.assert_allclose(jax.jit(arithmetic.one_minus_exp)(x), -np.expm1(-x.astype(np.float64)), rtol=1e-6)


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    """2^24 numbers: 1024 keys as `simulate` derives them, 2^14 steps."""
    keys = jax.vmap(lambda row: row_key(jax.random.key(7), row, SIMULATOR_STREAM))(jnp.arange(1_024))
    words = jax.random.key_data(keys).T
    counter = jnp.arange(2**14, dtype=jnp.uint32)
    return np.asarray(jax.jit(arithmetic.standard_normal)(words[:, None, :], counter[:, None]))


@pytest.mark.slow
def test_noise_is_normal(normals: np.ndarray) -> None:
    """Moments to the sixth, tails and bins of 2^24 numbers; each within 4.5 standard errors (false alarms: 1e-4)."""
    z = normals.ravel().astype(np.float64)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (5, 0, 945), (6, 15, 10_170)):
        assert abs(np.mean(z**power) - mean) < 4.5 * np.sqrt(variance / len(z)), power
    edges = stats.norm.ppf(np.arange(1, 1_000) / 1_000)
    counts = np.histogram(z, np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert stats.chisquare(counts).pvalue > 1e-4
    # Beyond 4.5: 57 +- 7.5 each side.
    tail = len(z) * stats.norm.sf(4.5)
    for number in (np.sum(z > 4.5), np.sum(z < -4.5)):
        assert abs(number - tail) < 4.5 * np.sqrt(tail)
    # A sum of twelve uniform numbers has the right variance, but not the right tails.
    twelve = np.random.default_rng(0).random((12, 2**20)).sum(axis=0) - 6
    assert abs(np.mean(twelve**4) - 3) > 4.5 * np.sqrt(96 / len(twelve))


def test_noise_is_independent(normals: np.ndarray) -> None:
    """Correlations between steps and between rows, of the numbers and of their squares; 4.5 standard errors."""
    for z in (normals, (normals**2 - 1) / np.sqrt(2)):
        for lag in (1, 2, 3, 4, 8, 16, 32, 64, 128):
            assert abs(np.mean(z[lag:] * z[:-lag], dtype=np.float64)) < 4.5 / np.sqrt(z[lag:].size), lag
            shifted = z[:, lag:] * z[:, :-lag]
            assert abs(np.mean(shifted, dtype=np.float64)) < 4.5 / np.sqrt(shifted.size), lag
    # All pairs of rows: correlations of standard error 1 / 128, and among 523,776 of them none beyond 6.
    correlations = (normals.T @ normals / len(normals))[np.triu_indices(normals.shape[1], 1)] * np.sqrt(len(normals))
    assert np.abs(correlations).max() < 6
    assert abs(correlations.var() - 1) < 0.02
    # The spectrum of each step sequence is flat: no period.
    power = (np.abs(np.fft.rfft(normals[:, :64], axis=0)) ** 2)[1:-1].mean(axis=1) / len(normals)
    assert abs(power.max() - 1) < 6 / 8
    assert abs(power.mean() - 1) < 4.5 / np.sqrt(64 * len(power))


# --- the simulator as an object ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_do_not_depend_on_the_batch(short: hh.Stimulus) -> None:
    simulate = hh.HodgkinHuxley(short)
    whole = gb.simulate(simulate, hh.prior(), 100, seed=4, progress=False)
    parts = gb.simulate(simulate, hh.prior(), 100, seed=4, batch_size=7, progress=False)
    np.testing.assert_allclose(whole.x, parts.x, rtol=1e-3, atol=1e-4)
    key = row_key(jax.random.key(4), 13, SIMULATOR_STREAM)
    alone = simulate(key, jnp.asarray(whole.theta[13]))
    np.testing.assert_allclose(alone, whole.x[13], rtol=1e-3, atol=1e-4)
    other = gb.simulate(simulate, hh.prior(), 100, seed=5, progress=False)
    assert np.all(np.any(other.x != whole.x, axis=1))


def test_keys_of_any_generator(short: hh.Stimulus) -> None:
    theta = jnp.asarray(SPIKING)
    for kind in ("threefry2x32", "rbg", "unsafe_rbg"):
        assert np.isfinite(hh.HodgkinHuxley(short)(jax.random.key(3, impl=kind), theta)).all()


def test_traces_are_the_runs_that_were_summarised(stimulus: hh.Stimulus) -> None:
    """Row i of `traces(seed)` is row i of `simulate_at(seed)`; spiking runs may part in the last digits."""
    theta = np.concatenate([prior_rows(60, 9), np.tile(np.array(QUIET, np.float32), (4, 1))])
    x = gb.simulate_at(hh.HodgkinHuxley(stimulus), theta, seed=6, progress=False).x
    found = hh.summary_statistics(np.asarray(hh.traces(theta, stimulus, seed=6)), dt=DT, on=ON, off=OFF)
    quiet = found[:, 0] == 0
    np.testing.assert_array_equal(x[quiet, 0], 0)
    np.testing.assert_allclose(x[-4:], found[-4:], rtol=1e-3)
    assert np.mean(np.abs(x - found).max(axis=1) < 0.01 * np.abs(found).max(axis=1)) > 0.8
    again = hh.summary_statistics(np.asarray(hh.traces(theta[-4:], stimulus, seed=6)), dt=DT, on=ON, off=OFF)
    assert np.all(np.abs(again[:, 2] / found[-4:, 2] - 1) > 1e-4)  # other rows, other noise


def test_current_scale_and_initial_voltage_enter(short: hh.Stimulus) -> None:
    """The core takes both as traced numbers: the same as a stimulus with them built in."""
    theta = jnp.asarray(QUIET)
    words = jnp.asarray([1, 2], jnp.uint32)
    scaled = hh.Stimulus(short.current_density * 0.5, short.dt, short.on, short.off, -80.0)

    @jax.jit
    def run(scale: jax.Array, voltage: jax.Array) -> jax.Array:
        return simulator.run(words, theta, scale, voltage, short)

    found = run(jnp.asarray(0.5), jnp.asarray(-80.0))
    expected = simulator.run(words, theta, jnp.asarray(1.0), jnp.asarray(-80.0), scaled)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.any(np.abs(found / run(jnp.asarray(1.0), jnp.asarray(-80.0)) - 1) > 0.01)


def test_object_is_picklable_and_named(short: hh.Stimulus) -> None:
    simulate = pickle.loads(pickle.dumps(hh.HodgkinHuxley(short)))
    key, theta = jax.random.key(0), jnp.asarray(SPIKING)
    np.testing.assert_array_equal(simulate(key, theta), hh.HodgkinHuxley(short)(key, theta))
    assert repr(simulate).startswith("HodgkinHuxley(Stimulus(4500 steps of 0.02 ms")
    assert "\n" not in repr(simulate)
    assert qualified_name(simulate).endswith(":HodgkinHuxley")
    assert tuple(hh.prior().names) == tuple(model.BOUNDS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"current_density": np.zeros((2, 50))}, "current_density.*shape"),
        ({"current_density": np.full(4_500, np.nan)}, "NaN"),
        ({"dt": 0.0}, "`dt`"),
        ({"on": 0.205, "off": 1.2}, "in ms"),
        ({"on": -5.0}, "stimulus"),
        ({"off": 91.0}, "90 ms"),
        ({"initial_voltage": np.inf}, "initial_voltage"),
    ],
)
def test_stimulus_says_what_is_wrong(short: hh.Stimulus, change: dict[str, Any], complaint: str) -> None:
    fields = {name: getattr(short, name) for name in ("current_density", "dt", "on", "off", "initial_voltage")}
    with pytest.raises(ValueError, match=complaint):
        hh.Stimulus(**{**fields, **change})


def test_wrong_calls_say_what_is_wrong(short: hh.Stimulus) -> None:
    theta = np.array([SPIKING])
    with pytest.raises(TypeError, match="Stimulus"):
        hh.HodgkinHuxley(np.zeros(5))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="theta"):
        hh.traces(theta[0], short, seed=0)
    with pytest.raises(ValueError, match="either"):
        hh.traces(theta, short)
    with pytest.raises(ValueError, match="noise"):
        hh.traces(theta, short, noise=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="ends at"):
        hh.summary_statistics(np.zeros(100), dt=DT, on=10.0, off=55.0)
