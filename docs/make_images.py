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
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
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
from genbayes.benchmark.results import Results
from genbayes.benchmark.tables import settings
from genbayes.tasks.lynx_hare import SPECIES, YEARS, simulate

IMAGES = Path(__file__).parent / "images"
# Part of the runs that are made, and the folder that is written to; the command line sets them.
options = argparse.Namespace(quick=False, out=IMAGES)
LABELS = tuple(f"log {name}" for name in SPECIES)


def runs(n: int) -> int:
    """So many runs or draws, or a twentieth of them where it is to be quick."""
    return max(300, n // 20) if options.quick else n


def save(figure: Any, name: str) -> None:
    """Writes NAME.png, of at most 256 colours."""
    path = options.out / f"{name}.png"
    figure.savefig(path, dpi=110, bbox_inches="tight")
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(path)


def lynx_hare(_: Path | None) -> None:
    """The demo of `genbayes demo`: one fit of 20,000 simulations, at several betas."""
    task = gb.tasks.lynx_hare()
    record: Any = task.x_o
    simulations = gb.simulate(task.simulator, task.prior, runs(20_000), seed=0)
    cost = gb.fit_cost(simulations, task.distance)
    print("| beta | predicted cost | re-simulated | replicate | hare_birth, 5-95 % | lynx_growth, 5-95 % |")
    print("|---|---|---|---|---|---|")
    for beta in (20.0, 50.0, 100.0, 200.0, 336.0, 1000.0):
        posterior = gb.GibbsPosterior(task.prior, cost, record, beta)
        draws = posterior.sample(runs(4000), seed=0)
        check = gb.check_predictive(task.simulator, posterior, draws, n=500, seed=0)
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
    simulations = gb.simulate(wrong, task.prior, runs(10_000), seed=0)
    cost = gb.fit_cost(simulations, task.distance)
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta=200.0)
    draws = posterior.sample(runs(4000), seed=0)
    check = gb.check_predictive(wrong, posterior, draws, n=500, seed=1)
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
    held_out = gb.simulate(growth, prior, 200, seed=1)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError())
    x_o = np.asarray(growth(jax.random.key(42), {"growth": 0.4, "capacity": 60.0}))
    ladder = gb.temperature.ladder(prior, cost, x_o, n=1000, seed=2)
    floor = gb.temperature.noise_floor(ladder, simulator=growth, n=200, seed=3)
    calibrated = gb.temperature.calibrated(prior, cost, held_out, seed=4)
    print(floor.summary(), calibrated.summary(), sep="\n")
    save(gb.plots.temperature(ladder, [floor, calibrated]), "temperature_ladder")
    save(gb.plots.choice(calibrated), "temperature_calibrated")
    few = gb.temperature.ladder(prior, cost, x_o, [10.0, 30.0, 100.0, 300.0, 1000.0], n=2000, seed=6)
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
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError())
    observed = gb.simulate(curve, prior, 40, seed=1).x
    observed[::9] += 1.5 * times
    posteriors = gb.GibbsPosteriors(prior, cost, observed, beta=40.0)
    draws = posteriors.sample(500, seed=2)
    save(gb.plots.stack(gb.check_stack(posteriors, draws, simulations), prior), "stack")


def sensitivity(data: Path | None) -> None:
    """A recording with a mistake made on purpose: twice the spikes (docs/sensitivity.md)."""
    recording = hh.read_recording(_recording(data))
    stimulus = hh.Stimulus.of(recording)
    task = hh.hodgkin_huxley(stimulus)
    x_o = np.array(hh.observation(recording))
    x_o[0] *= 2
    simulations = gb.simulate(task.simulator, task.prior, runs(10_000), seed=0)
    cost = gb.fit_cost(simulations, task.distance)
    posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta=50.0)
    labels = ["number of spikes", "resting voltage (mV)", "s.d. at rest (mV)", "mean voltage (mV)", "variance (mV²)"]
    labels += ["skewness", "kurtosis"]
    found = gb.sensitivity(posterior, simulator=task.simulator, n=1000, seed=0, labels=labels)
    print(found.summary())
    save(gb.plots.sensitivity(found), "sensitivity")


def hodgkin_huxley(data: Path | None) -> None:
    """Traces of one cell at beta 100, from 100,000 simulations (docs/hodgkin_huxley.md)."""
    recording = _recording(data)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genbayes", "hodgkin-huxley", "--recordings", str(recording), "--out", folder]
        subprocess.run([*command, "--simulations", "300" if options.quick else "100000", "--beta", "100"], check=True)
        [picture] = (Path(folder) / "figures").glob("*.png")
        shutil.copy(picture, options.out / "hodgkin_huxley_traces.png")


def benchmark(data: Path | None) -> None:
    """Two moons of a finished benchmark (docs/benchmark.md)."""
    if data is None and options.quick:
        data = Path(tempfile.mkdtemp())
        line = (
            f"benchmark --task two_moons --method ace exact --simulations 300 --draws 200 --observations 1 --out {data}"
        )
        subprocess.run([sys.executable, "-m", "genbayes", *line.split()], check=True)
    if data is None or not (data / "results.csv").is_file():
        raise SystemExit("--data must be the folder of `genbayes benchmark`, with its results.csv.")
    [moons] = [one for one in settings(Results(data / "results.csv").read()) if one.stem == "two_moons"]
    save(benchmark_picture(moons), "benchmark_two_moons")


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
