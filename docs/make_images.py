"""Makes the images in docs/images anew, with the library as it is.

    python docs/make_images.py                     all but those that need data
    python docs/make_images.py lynx_hare stack     some
    python docs/make_images.py sensitivity hodgkin_huxley --data DIR     from recordings (docs/hodgkin_huxley.md)
    python docs/make_images.py benchmark --data DIR                      from the folder of `genbayes benchmark`
    python docs/make_images.py --quick --out DIR   all, of few runs, and of made-up data where no data are given: what
                                                   the tests run

MADE says what makes which images. Seeds are fixed; the numbers that a page quotes beside its images are printed.
"""

import argparse
import functools
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from PIL import Image

import genbayes as gb
import genbayes.hodgkin_huxley as hh
from genbayes.benchmark.plot import benchmark as benchmark_picture
from genbayes.benchmark.results import KINDS, Results, Row
from genbayes.benchmark.tables import settings
from genbayes.hodgkin_huxley.plot import traces as picture_of_traces
from genbayes.tasks.lynx_hare import SPECIES, YEARS, simulate

IMAGES = Path(__file__).parent / "images"
# Part of the runs that are made, and the folder that is written to; the command line sets them.
options = argparse.Namespace(quick=False, out=IMAGES)
LABELS = tuple(f"log {name}" for name in SPECIES)


def runs(n: int) -> int:
    """So many runs or draws, or 200 at most where it is to be quick."""
    return min(200, n) if options.quick else n


def fitted(simulations: gb.Simulations, distance: Any, **settings: Any) -> gb.Cost:
    """The cost; where it is to be quick, of small networks that are hardly trained."""
    config = gb.FitConfig(members=2, width=8, depth=1, max_epochs=2) if options.quick else None
    return gb.fit_cost(simulations, distance, config=config, **settings)


def save(figure: Any, name: str) -> None:
    """Writes NAME.png, of at most 256 colours."""
    path = options.out / f"{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(path)


@functools.cache
def of_demo() -> tuple[gb.Simulations, gb.Cost]:
    """The demo's simulations and cost."""
    task = gb.tasks.lynx_hare()
    simulations = gb.simulate(task.simulator, task.prior, runs(20_000), seed=0)
    return simulations, fitted(simulations, task.distance)


def lynx_hare(_: Path | None) -> None:
    """The demo of `genbayes demo`: one fit of 20,000 simulations, at several betas."""
    task = gb.tasks.lynx_hare()
    record: Any = task.x_o
    _, cost = of_demo()
    print("| beta | predicted cost | re-simulated | replicate | hare_birth, 5-95 % | lynx_growth, 5-95 % |")
    print("|---|---|---|---|---|---|")
    for beta in (200.0,) if options.quick else (20.0, 50.0, 100.0, 200.0, 336.0, 1000.0):
        posterior = gb.GibbsPosterior(task.prior, cost, record, beta)
        draws = posterior.sample(runs(4000), seed=0)
        check = gb.check_predictive(task.simulator, posterior, draws, n=runs(500), seed=0)
        means = (check.predicted.mean(), check.simulated.mean(), check.replicate.mean())
        ranges = (np.quantile(draws[name], [0.05, 0.95]) for name in ("hare_birth", "lynx_growth"))
        cells = [f"{beta:g}", *(f"{mean:.3f}" for mean in means), *(f"{a:.2g} to {b:.2g}" for a, b in ranges)]
        print(f"| {' | '.join(cells)} |")
        if beta == 200.0:
            save(gb.plots.pair(draws, prior=task.prior), "lynx_hare_pair")
            figure = gb.plots.predictive(check, record, (np.array(YEARS), "year"), labels=LABELS, kind="series")
            save(figure, "lynx_hare_predictive")


def predictive_position(_: Path | None) -> None:
    """The demo's model with steps of three years, against a run of the right one (docs/checks.md)."""
    task = gb.tasks.lynx_hare()
    faster = jnp.array([3.0, 3.0, 3.0, 3.0, 1.0, 1.0])

    def wrong(key, theta):
        return simulate(key, theta * faster)

    x_o = np.asarray(simulate(jax.random.key(7), jnp.array([0.55, 0.028, 0.8, 0.024, 34.0, 5.9])))
    if options.quick:
        wrong, (simulations, cost) = task.simulator, of_demo()
    else:
        simulations = gb.simulate(wrong, task.prior, 10_000, seed=0)
        cost = gb.fit_cost(simulations, task.distance)
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta=200.0)
    draws = posterior.sample(runs(4000), seed=0)
    check = gb.check_predictive(wrong, posterior, draws, n=runs(500), seed=1)
    verdict = gb.check(
        posterior, draws, simulations=simulations, predictive=check, seed=2, kind="series", labels=LABELS
    )
    print(verdict.summary())
    position: Any = verdict.evidence.position
    save(gb.plots.predictive_position(position), "predictive_position")


def temperature(_: Path | None) -> None:
    """Logistic growth with 10 % noise, twenty yearly log counts (docs/temperature.md and the gallery)."""

    def growth(key, theta):
        def year(count, _):
            following = count + theta["growth"] * count * (1 - count / theta["capacity"])
            return following, following

        _, counts = jax.lax.scan(year, jnp.asarray(5.0), length=20)
        return jnp.log(counts) + 0.1 * jax.random.normal(key, (20,))

    prior = gb.Prior({"growth": dist.Uniform(0.0, 1.0), "capacity": dist.LogNormal(4.0, 0.5)})
    simulations = gb.simulate(growth, prior, runs(3_000), seed=0)
    held_out = gb.simulate(growth, prior, 30 if options.quick else 200, seed=1)
    cost = fitted(simulations, gb.distances.MeanSquaredError())
    x_o = np.asarray(growth(jax.random.key(42), {"growth": 0.4, "capacity": 60.0}))
    five = [10.0, 30.0, 100.0, 300.0, 1000.0]
    ladder = gb.temperature.ladder(prior, cost, x_o, five if options.quick else None, n=runs(1000), seed=2)
    floor = gb.temperature.noise_floor(ladder, simulator=growth, n=200, seed=3)
    calibrated = gb.temperature.calibrated(prior, cost, held_out, seed=4)
    print(floor.summary(), calibrated.summary(), sep="\n")
    save(gb.plots.temperature(ladder, [floor, calibrated]), "temperature_ladder")
    save(gb.plots.choice(calibrated), "temperature_calibrated")
    few = gb.temperature.ladder(prior, cost, x_o, five, n=runs(2000), seed=6)
    save(gb.plots.pair(few, truth=[0.4, 60.0]), "pair_ladder")
    found = gb.coverage(prior, cost, held_out, calibrated.beta, seed=5)
    save(gb.plots.coverage(found), "coverage")


def stack(_: Path | None) -> None:
    """Forty observations of a mean and a curvature; five were made by another process (many_observations.md)."""
    times = np.linspace(-1.0, 1.0, 8)

    def curve(theta, rng):
        return theta["a"] + theta["b"] * times**2 + 0.3 * rng.normal(size=8)

    prior = gb.Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Uniform(-3.0, 3.0)})
    simulations = gb.simulate(curve, prior, 1_000, seed=0)
    cost = fitted(simulations, gb.distances.MeanSquaredError())
    observed = gb.simulate(curve, prior, 40, seed=1).x
    observed[::9] += 1.5 * times
    posteriors = gb.GibbsPosteriors(prior, cost, observed, beta=40.0)
    draws = posteriors.sample(runs(500), seed=2)
    save(gb.plots.stack(gb.check_stack(posteriors, draws, simulations), prior), "stack")


def sensitivity(data: Path | None) -> None:
    """A recording with a mistake made on purpose: twice the spikes (docs/sensitivity.md)."""
    recording = hh.read_recording(_recording(data))
    stimulus = hh.Stimulus.of(recording)
    task = hh.hodgkin_huxley(stimulus)
    x_o = np.array(hh.observation(recording))
    x_o[0] *= 2
    simulations = gb.simulate(task.simulator, task.prior, runs(10_000), seed=0)
    cost = fitted(simulations, task.distance)
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta=50.0)
    labels = ["number of spikes", "resting voltage (mV)", "s.d. at rest (mV)", "mean voltage (mV)", "variance (mV²)"]
    labels += ["skewness", "kurtosis"]
    few: Any = {"distances": {"squared": gb.distances.MeanSquaredError()}, "groups": {"spikes": [0], "rest": [1]}}
    known = few if options.quick else {"labels": labels}
    found = gb.sensitivity(posterior, simulator=task.simulator, n=runs(1000), seed=0, **known)
    print(found.summary())
    save(gb.plots.sensitivity(found), "sensitivity")


def hodgkin_huxley(data: Path | None) -> None:
    """Traces of one cell at beta 100, from 100,000 simulations (docs/hodgkin_huxley.md)."""
    recording = _recording(data)
    if options.quick:
        _traces_of_prior(hh.read_recording(recording))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genbayes", "hodgkin-huxley", "--recordings", str(recording), "--out", folder]
        subprocess.run([*command, "--simulations", "100000", "--beta", "100"], check=True)
        [picture] = (Path(folder) / "figures").glob("*.png")
        shutil.copy(picture, options.out / "hodgkin_huxley_traces.png")


def _traces_of_prior(recording: hh.Recording) -> None:
    """The same picture of three draws of the prior; the command has tests of its own."""
    stimulus = hh.Stimulus.of(recording)
    theta = np.asarray(hh.hodgkin_huxley(stimulus).prior.sample(3, seed=0), np.float32)
    voltages = hh.traces(theta, stimulus, seed=1)
    save(picture_of_traces(recording, voltages, stimulus, ["one", "another", "a third"]), "hodgkin_huxley_traces")


def benchmark(data: Path | None) -> None:
    """Two moons of a finished benchmark (docs/benchmark.md)."""
    if data is None and options.quick:
        data = _made_benchmark()
    if data is None or not (data / "results.csv").is_file():
        raise SystemExit("--data must be the folder of `genbayes benchmark`, with its results.csv.")
    [moons] = [one for one in settings(Results(data / "results.csv").read()) if one.stem == "two_moons"]
    save(benchmark_picture(moons), "benchmark_two_moons")


def _made_benchmark() -> Path:
    """A folder with results that nobody measured."""
    folder = Path(tempfile.mkdtemp())
    for kind, method, beta in itertools.product(KINDS, ("ace", "exact"), (10.0, 100.0, 1000.0)):
        row = Row("two_moons", 0, kind, method, beta, beta, 0, 300, 200, "made up", "0")
        values = {"cost_true_mean": 2.0 / beta, "cost_true_error": 0.1 / beta, "c2st": 0.5 + beta / 1e4}
        Results(folder / "results.csv").append(replace(row, **values))
    return folder


def _recording(data: Path | None) -> Path:
    """The file of the cell that the pages show; a run of the model where it is to be quick and none is given."""
    if data is None and options.quick:
        return _made_recording()
    found = sorted(data.glob("*518290966*")) if data is not None else []
    if len(found) != 1:
        raise SystemExit(f"--data must be a folder with one recording of cell 518290966, got {data}: {found}.")
    return found[0]


def _made_recording() -> Path:
    """A run of the model as a recording, before the correction for the junction potential."""
    dt, on, off, area = 0.02, 200.0, 1200.0, 1.857e-4
    current = np.zeros(72_501)
    current[round(on / dt) : round(off / dt) + 1] = 1.5
    stimulus = hh.Stimulus(current, dt, on, off, -70.0)
    theta = np.asarray(hh.hodgkin_huxley(stimulus).prior.sample(1, seed=5), np.float32)
    path = Path(tempfile.mkdtemp()) / "made.npz"
    np.savez(
        path,
        voltage_mV=np.asarray(hh.traces(theta, stimulus, seed=4))[0] + 14.0,
        current_uA=current * area,
        dt_ms=dt,
        stimulus_on_ms=on,
        stimulus_off_ms=off,
        soma_area_cm2=area,
    )
    return path


# What makes which images; those of NEED_DATA take a folder.
MADE: dict[str, tuple[Callable[[Path | None], None], tuple[str, ...]]] = {
    "lynx_hare": (lynx_hare, ("lynx_hare_pair", "lynx_hare_predictive")),
    "predictive_position": (predictive_position, ("predictive_position",)),
    "temperature": (temperature, ("temperature_ladder", "temperature_calibrated", "pair_ladder", "coverage")),
    "stack": (stack, ("stack",)),
    "sensitivity": (sensitivity, ("sensitivity",)),
    "hodgkin_huxley": (hodgkin_huxley, ("hodgkin_huxley_traces",)),
    "benchmark": (benchmark, ("benchmark_two_moons",)),
}
NEED_DATA = ("sensitivity", "hodgkin_huxley", "benchmark")


def main() -> None:
    """Makes what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MADE)}; all that need no data")
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings, or the folder of a benchmark")
    parser.add_argument("--quick", action="store_true", help="few runs: whether every image can be made")
    parser.add_argument("--out", type=Path, default=IMAGES, metavar="DIR", help="default: docs/images")
    parser.parse_args(namespace=options)
    if options.quick and options.out.resolve() == IMAGES.resolve():
        parser.error("--quick makes no images for the pages: give another folder by --out")
    options.out.mkdir(parents=True, exist_ok=True)
    if unknown := sorted(set(options.names) - set(MADE)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(MADE)}")
    for name in options.names or [name for name in MADE if options.quick or name not in NEED_DATA]:
        MADE[name][0](options.data)


if __name__ == "__main__":
    main()
