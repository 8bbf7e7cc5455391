"""`genbayes hodgkin-huxley` on short made-up recordings, and the task and known conditions that it rests on."""

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import genbayes as gb
from genbayes import cli
from genbayes import hodgkin_huxley as hh
from genbayes.benchmark.tables import Table
from genbayes.command_line import stages
from genbayes.hodgkin_huxley import plot
from genbayes.hodgkin_huxley.inputs import choose_stimulus
from genbayes.hodgkin_huxley.results import Row, tables
from genbayes.tasks import BENCHMARK

# The session that the tests share simulates, fits and samples two neurons.
pytestmark = [pytest.mark.slow, pytest.mark.long]

# The last sample with current is at OFF.
DT, STEPS, ON, OFF = 0.02, 3000, 10.0, 49.98
AREA = 2e-4
# In the order of the prior; they fire in the 40 ms of the stimulus.
CELLS = {
    "cell_518290966_sweep_1": ([50.0, 5.0, 0.1, 0.03, 600.0, 60.0, 0.1, 70.0], 2.2, -70.0),
    "cell_other": ([40.0, 4.0, 0.12, 0.05, 600.0, 62.0, 0.1, 75.0], 1.8, -76.0),
}
FAST = "--simulations 300 --draws 400 --resimulate 30 --beta 20 5 --quiet"


def current(amplitude, steps=STEPS, on=ON, off=OFF):
    values = np.zeros(steps)
    values[round(on / DT) : round(off / DT) + 1] = amplitude
    return values


def save_recording(folder, name, on=ON, off=OFF, steps=STEPS):
    """A run of the model as an .npz file: before the correction for the junction potential."""
    theta, amplitude, voltage = CELLS.get(name, CELLS["cell_other"])
    stimulus = hh.Stimulus(current(amplitude, steps, on, off), DT, on, off, voltage)
    trace = np.asarray(hh.traces(np.array([theta], np.float32), stimulus, seed=4))[0]
    folder.mkdir(exist_ok=True)
    np.savez(
        folder / f"{name}.npz",
        voltage_mV=trace + 14.0,
        current_uA=stimulus.current_density * AREA,
        dt_ms=DT,
        stimulus_on_ms=on,
        stimulus_off_ms=off,
        soma_area_cm2=AREA,
    )


def run(line):
    return cli.main(["hodgkin-huxley", *line.split()])


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stored_draws(path):
    with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
        return gb.Draws.from_datatree(tree)


def quick_report(path, *arguments, warnings, **settings):
    """Instead of a report with its pictures, which take seconds."""
    path.write_text(f"a report with the warnings {warnings}")
    return path


def no_luck(*arguments, **settings):
    raise RuntimeError("no luck")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Recordings, both kinds of run on them, and what was given to the plots of traces."""
    path, seen = tmp_path_factory.mktemp("neurons"), []
    for name in CELLS:
        save_recording(path / "recordings", name)

    def report(path, posterior, *arguments, **settings):
        write = gb.report if path.name == "cell_other-report-beta-20.html" else quick_report
        return write(path, posterior, *arguments, **settings)

    def traces(*arguments):
        seen.append(arguments)
        return original(*arguments)

    original = plot.traces
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(stages, "report", report)
        patch.setattr(plot, "traces", traces)
        assert run(f"--recordings recordings --out published {FAST}") == 0
        assert run(f"--recordings recordings --own-conditions {FAST.replace('20 5', '20')}") == 0
    return SimpleNamespace(path=path, seen=seen)


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy, as the current directory; reports are not drawn."""
    shutil.copytree(made.path, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setattr(stages, "report", quick_report)
    return tmp_path / "copy"


def test_a_run_leaves_every_artefact(made):
    for out, betas in (("published", ("5", "20")), ("hodgkin-huxley-own-conditions", ("20",))):
        files = {
            str(path.relative_to(made.path / out)) for path in (made.path / out).rglob("*") if ".zarr/" not in str(path)
        }
        expected = {"simulations.zarr", "cost.safetensors", "stimulus.npz", "results.csv", "summary.md", "figures"}
        for name in CELLS:
            for beta in betas:
                expected |= {f"{name}-draws-beta-{beta}.zarr", f"{name}-report-beta-{beta}.html"}
                expected |= {f"figures/{name}-beta-{beta}.png"}
        assert files == expected
        assert [(row["recording"], row["beta"]) for row in read_csv(made.path / out / "results.csv")] == [
            (name, beta) for name in CELLS for beta in betas
        ]
        summary = (made.path / out / "summary.md").read_text()
        for name in expected:
            if name.endswith((".html", ".png")):
                assert f"({name})" in summary


@pytest.mark.parametrize("own", [False, True])
def test_the_results_are_those_of_runs_at_the_stored_draws(made, own):
    """Recomputed from the files with numpy: the runs by `simulate_at`, distance and means written out."""
    out = made.path / ("hodgkin-huxley-own-conditions" if own else "published")
    recordings = {recording.name: recording for recording in hh.read_recordings(made.path / "recordings")}
    given = hh.Stimulus.of(recordings["cell_518290966_sweep_1"])
    cost, simulations = gb.load(out / "cost.safetensors"), gb.Simulations.open(out / "simulations.zarr")
    for row in [row for row in read_csv(out / "results.csv") if row["beta"] == "20"]:
        recording = recordings[row["recording"]]
        draws = stored_draws(out / f"{recording.name}-draws-beta-{row['beta']}.zarr")
        theta = draws.flat[np.linspace(0, len(draws) - 1, 30).round().astype(int)]
        # The recording's own experiment made by hand, without the conditional simulator.
        stimulus = hh.Stimulus.of(recording) if own else given
        runs = gb.simulate_at(hh.HodgkinHuxley(stimulus), np.tile(theta, (2, 1)), seed=1, progress=False)
        known = {"amplitude": recording.amplitude, "initial_voltage": recording.initial_voltage} if own else {}
        assert draws.conditions == pytest.approx(known)
        x_o = hh.summary_statistics(recording.voltage, dt=DT, on=ON, off=OFF)
        scale = np.array(hh.PRIOR_PREDICTIVE_STD)
        distance = np.mean(np.abs(runs.x[:30] - x_o) / scale, axis=1)
        replicate = np.mean(np.abs(runs.x[:30] - runs.x[30:]) / scale, axis=1)
        predicted = np.asarray(cost(theta, x_o, known or None))
        for name, values in (("resimulated", distance), ("replicate", replicate), ("predicted", predicted)):
            # Scaled currents are rounded to float32, which moves a spike by a step in a few runs.
            assert float(row[name]) == pytest.approx(values.mean(), rel=0.02)
            assert float(row[f"{name}_error"]) == pytest.approx(values.std(ddof=1) / np.sqrt(30), rel=0.05)
        assert float(row["least_ess"]) == pytest.approx(draws.ess_bulk.min(), rel=1e-5)
        assert (row["runs"], row["failed_runs"], row["draws"]) == ("30", "0", str(len(draws)))
        assert row["own_conditions"] == str(own)
        assert row["stimulus"] == "cell_518290966_sweep_1"
        assert float(row["amplitude"]) == pytest.approx(recording.amplitude if own else 2.2, rel=1e-5)
        assert float(row["initial_voltage"]) == pytest.approx(recording.initial_voltage if own else -70.0, rel=1e-5)
    assert simulations.condition_names == (("amplitude", "initial_voltage") if own else ())
    assert simulations.seed == 0


def test_the_summary_has_the_means_of_the_file(made):
    rows = read_csv(made.path / "published" / "results.csv")
    summary = (made.path / "published" / "summary.md").read_text()
    cells = []
    for beta in ("5", "20"):
        values = np.array([float(row["resimulated"]) for row in rows if row["beta"] == beta])
        cells.append(f"{values.mean():.3f} ± {abs(values[0] - values[1]) / 2:.3f}")
    assert f"| re-simulated | {' | '.join(cells)} |" in summary
    assert "genbayes hodgkin-huxley --recordings recordings --out published" in summary


def test_a_report_shows_traces_statistics_and_what_differs(made):
    page = (made.path / "published" / "cell_other-report-beta-20.html").read_text()
    figures = page.split("<figcaption>")[1:]
    assert figures[0].startswith("The recording (black) and the closest, the median and the farthest of the 30 runs")
    assert "What the observation says about the parameters" in figures[1]
    assert "re-simulated outputs" in figures[2]
    assert "simulated was that of cell_518290966_sweep_1 (2.2 µA/cm² from -70.0 mV)" in page
    assert "recorded were 1.8 µA/cm² from -76.0 mV" in page
    assert (
        "Stimulus: simulated"
        not in (made.path / "published" / "cell_518290966_sweep_1-report-beta-20.html").read_text()
    )
    own = made.path / "hodgkin-huxley-own-conditions" / "cell_other-report-beta-20.html"
    assert "Stimulus: simulated" not in own.read_text()


@pytest.mark.parametrize("own", [False, True])
def test_traces_are_runs_of_the_check_at_their_distances(made, own):
    """The three traces are the closest, the middle and the farthest of the runs that are averaged in results.csv."""
    out = made.path / ("hodgkin-huxley-own-conditions" if own else "published")
    # Two recordings at two betas, then at one.
    recording, voltages, stimulus, labels = made.seen[5 if own else 3]
    draws = stored_draws(out / f"{recording.name}-draws-beta-20.zarr")
    theta = draws.flat[np.linspace(0, len(draws) - 1, 30).round().astype(int)]
    given = hh.read_recordings(made.path / "recordings")[0 if not own else 1]
    again = np.asarray(hh.traces(theta, hh.Stimulus.of(given), seed=1))
    x = hh.summary_statistics(again, dt=DT, on=ON, off=OFF)
    x_o = hh.summary_statistics(recording.voltage, dt=DT, on=ON, off=OFF)
    distance = np.mean(np.abs(x - x_o) / np.array(hh.PRIOR_PREDICTIVE_STD), axis=1)
    (row,) = [r for r in read_csv(out / "results.csv") if (r["recording"], r["beta"]) == (recording.name, "20")]
    assert float(row["resimulated"]) == pytest.approx(distance.mean(), rel=0.02)
    order = np.argsort(distance)[[0, 15, 29]]
    assert recording.name == "cell_other"
    # A step of 0.02 ms, by which rounding may move a spike of 100 mV, is up to 10 mV on its flank.
    assert np.mean(np.abs(voltages - again[order]) > 0.1) < 0.01
    np.testing.assert_allclose(stimulus.current_density, given.current_density, rtol=1e-6)
    words = ("closest", "median", "farthest")
    assert labels == [
        f"re-simulated, {word} of 30: distance {d:.3f}" for word, d in zip(words, distance[order], strict=True)
    ]


def test_the_traces_as_drawn():
    recording = hh.Recording("r", np.linspace(-80, 0, STEPS), current(1.5), DT, ON, OFF)
    stimulus = hh.Stimulus(current(1.0), DT, ON, OFF, -80.0)
    simulated = np.stack([np.full(STEPS, -60.0), np.linspace(-100, 30, STEPS)])
    figure = plot.traces(recording, simulated, stimulus, ["first", "second"])
    axes = np.array(figure.axes, dtype=object).reshape(4, 2)
    times = np.arange(STEPS) * DT

    def drawn(ax, gid):
        (line,) = [line for line in ax.lines if line.get_gid() == gid]
        return line.get_data()

    for column in (0, 1):
        # In the zoom what lies more than half its width outside is left away.
        shown = slice(0, None if column == 0 else int((ON + 0.7 * (OFF - ON)) / DT))
        for got, wanted in zip(drawn(axes[0, column], "recorded"), (times, recording.voltage), strict=True):
            np.testing.assert_allclose(got, wanted[shown])
        for row in (0, 1):
            for got, wanted in zip(drawn(axes[row + 1, column], "simulated"), (times, simulated[row]), strict=True):
                np.testing.assert_allclose(got, wanted[shown])
        np.testing.assert_array_equal(axes[3, column].lines[0].get_ydata(), recording.current_density)
        np.testing.assert_array_equal(axes[3, column].lines[1].get_ydata(), stimulus.current_density)
    # Recording and traces on the same axes, all in sight; the zoom shows the recording behind.
    assert len({ax.get_ylim() for ax in axes[:3].flat}) == 1
    assert axes[0, 0].get_ylim()[0] < -100
    assert axes[0, 0].get_ylim()[1] > 30
    assert axes[0, 1].get_xlim() == pytest.approx((ON - 0.7996, ON + 7.996))
    assert [ax.get_title(loc="left") for ax in axes[:3, 0]] == ["recorded", "first", "second"]
    np.testing.assert_allclose(drawn(axes[2, 1], "recorded")[1], recording.voltage[:1899])
    with pytest.raises(ValueError, match=r"shape \(2, 3000\) and 1 label"):
        plot.traces(recording, simulated, stimulus, ["one"])


def test_a_second_call_simulates_and_fits_nothing(here, monkeypatch, capsys):
    cost = Path("published", "cost.safetensors")
    before = cost.stat().st_mtime_ns
    line = f"--recordings recordings/cell_518290966_sweep_1.npz --out published {FAST.replace('20 5', '40')}"
    assert run(line.replace("--quiet", "")) == 0
    # A title is broken to the width of its table.
    printed = " ".join(capsys.readouterr().out.split())
    assert "300 simulations are in published/simulations.zarr already" in printed
    assert "the cost in published/cost.safetensors is up to date" in printed
    assert "Re-simulated distance of each recording" in printed
    assert "Mean over 1 recording, ± standard error over recordings" in printed
    assert cost.stat().st_mtime_ns == before
    # Former posteriors stay, and the results are those of this call.
    assert Path("published", "cell_other-report-beta-5.html").exists()
    assert {row["beta"] for row in read_csv(Path("published", "results.csv"))} == {"40"}
    # More simulations are another cost.
    monkeypatch.setattr(stages, "run_sampling", no_luck)
    assert run(line.replace("300", "320")) == 1
    assert cost.stat().st_mtime_ns != before
    assert gb.load(cost).settings["simulations"] == 320


def test_an_interrupted_run_keeps_what_was_finished(here, monkeypatch, capsys):
    original, calls = stages.run_sampling, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    shutil.rmtree("published")
    monkeypatch.setattr(stages, "run_sampling", interrupted)
    assert run(f"--recordings recordings --out published {FAST}") == 130
    told = capsys.readouterr().err
    assert "kept in published: 300 of 300 simulations, the cost, 1 posterior(s)" in told
    assert [row["beta"] for row in read_csv(Path("published", "results.csv"))] == ["5"]


def test_failing_recordings_do_not_stop_the_others(here, monkeypatch, capsys):
    Path("recordings", "broken.npz").write_text("no archive")
    save_recording(Path("recordings"), "cell_z")
    original = stages.run_sampling

    def failing(problem, folder, *arguments, **settings):
        if folder.observation == "cell_other":
            no_luck()
        return original(problem, folder, *arguments, **settings)

    monkeypatch.setattr(stages, "run_sampling", failing)
    assert run(f"--recordings recordings --out published {FAST.replace('20 5', '20')}") == 1
    told = capsys.readouterr().err
    assert "broken.npz cannot be read as an .npz file" in told
    assert "warning: cell_other, beta 20: no luck" in told
    assert "2 failure(s), see above; 2 of 3 posteriors are in" in told
    names = [row["recording"] for row in read_csv(Path("published", "results.csv"))]
    assert names == ["cell_518290966_sweep_1", "cell_z"]
    assert "## Failed\n\n- broken.npz cannot be read" in Path("published", "summary.md").read_text()


def test_what_is_wrong_is_told(here, capsys):
    def told(line):
        assert run(f"{line} {FAST}") == 1
        return capsys.readouterr().err

    Path("empty").mkdir()
    assert "empty holds no recordings (.npz or .nwb)" in told("--recordings empty")
    assert "there is no folder or file nowhere" in told("--recordings nowhere")
    Path("empty", "bad.npz").write_text("no archive")
    assert "no recording in empty can be used: bad.npz cannot be read" in told("--recordings empty")
    save_recording(Path("other"), "late", on=12.0, off=51.98)
    save_recording(Path("other"), "cell_518290966")
    text = told("--recordings other")
    assert "that of cell_518290966, on from 10 to 49.98 ms" in text
    assert "late (12 to 51.98 ms)" in text
    assert "into a folder of their own" in text
    assert not Path("hodgkin-huxley").exists()
    assert "--stimulus nobody is in the name of no recording. Give the whole name of one of: cell_518290966_" in told(
        "--recordings recordings --stimulus nobody"
    )
    # The store knows its simulator by name only; the stimulus lies beside it.
    text = told("--recordings recordings --stimulus other --out published")
    assert "published holds simulations with another stimulus" in text
    text = told("--recordings recordings --own-conditions --out published")
    assert "name another folder by --out" in text
    assert run("--recordings recordings --beta 0") == 2
    assert run("--simulations 10") == 2


def test_the_stimulus_is_the_published_one_unless_another_is_named():
    names = ("a", "b_518290966", "b", "c_518290966")
    recordings = [hh.Recording(name, np.zeros(STEPS), current(1.0), DT, ON, OFF) for name in names]
    assert choose_stimulus(recordings, None).name == "b_518290966"
    assert choose_stimulus([recordings[2], recordings[0]], None).name == "b"
    assert choose_stimulus(recordings, "b").name == "b"
    assert choose_stimulus(recordings, "c_").name == "c_518290966"
    with pytest.raises(ValueError, match="names more than one recording"):
        choose_stimulus(recordings, "518290966")


def test_conditions_are_amplitude_and_initial_voltage():
    """The conditional run is that of a stimulus made for the conditions, and of no other."""
    stimulus = hh.Stimulus(current(2.2), DT, ON, OFF, -70.0)
    simulator = hh.ConditionalHodgkinHuxley(stimulus)
    theta = np.array([cell[0] for cell in CELLS.values()] * 8, np.float32)
    conditions = [1.7, -80.0]
    runs = gb.simulate_at(simulator, theta, seed=3, conditions=conditions, progress=False)
    own = hh.Stimulus(current(1.7), DT, ON, OFF, -80.0)
    wanted = gb.simulate_at(hh.HodgkinHuxley(own), theta, seed=3, progress=False)
    # Rounding of the scaled current.
    np.testing.assert_allclose(runs.x, wanted.x, rtol=0.01, atol=0.01)
    for amplitude, voltage in ((2.2, -80.0), (1.7, -70.0), (-80.0, 1.7)):
        other = gb.simulate_at(simulator, theta, seed=3, conditions=[amplitude, voltage], progress=False)
        assert np.max(np.abs(other.x - wanted.x)) > 1
    made = simulator.stimulus_for(1.7, -80.0)
    np.testing.assert_allclose(made.current_density, own.current_density, rtol=1e-6)
    assert made.initial_voltage == -80.0
    with pytest.raises(ValueError, match="cannot be scaled"):
        hh.ConditionalHodgkinHuxley(hh.Stimulus(np.zeros(STEPS), DT, ON, OFF, -70.0))
    with pytest.raises(TypeError, match="Stimulus"):
        hh.ConditionalHodgkinHuxley(3)  # pyright: ignore[reportArgumentType]


def test_conditions_of_a_recording_give_its_own_current():
    ramp = current(1.0) * np.linspace(0.5, 2.0, STEPS)
    recording = hh.Recording("ramp", np.full(STEPS, -71.5), ramp, DT, ON, OFF)
    stimulus = hh.Stimulus.of(recording)
    known = hh.conditions_of(recording)
    assert known == {"amplitude": pytest.approx(ramp[500:2500].mean()), "initial_voltage": -71.5}
    again = hh.ConditionalHodgkinHuxley(stimulus).stimulus_for(**known)
    np.testing.assert_allclose(again.current_density, recording.current_density, rtol=1e-6)
    prior = hh.conditions_prior()
    assert prior.names == tuple(known)
    # The five published recordings' range, with room.
    assert np.all(prior.bounds[:, 0] < [0.9, -89])
    assert np.all(prior.bounds[:, 1] > [1.6, -74])


def test_the_task_is_that_of_a_recording_and_not_in_the_benchmark():
    recording = hh.Recording("r", np.random.default_rng(0).normal(-70, 1, STEPS), current(1.0), DT, ON, OFF)
    task = hh.hodgkin_huxley(recording)
    assert task.x_o is not None
    np.testing.assert_allclose(task.x_o, hh.summary_statistics(recording.voltage, dt=DT, on=ON, off=OFF), rtol=1e-5)
    assert task.betas == (25.0, 50.0, 100.0)
    assert "hodgkin_huxley" not in BENCHMARK
    assert hh.hodgkin_huxley(hh.Stimulus.of(recording)).x_o is None
    x = np.asarray(task.x_o) + np.array(hh.PRIOR_PREDICTIVE_STD) * np.arange(7)
    # The mean of 0, 1, ..., 6 standard deviations.
    assert float(task.distance(jnp.asarray(x, jnp.float32), jnp.asarray(task.x_o))) == pytest.approx(3.0, rel=1e-5)
    with pytest.raises(ValueError, match="skewness and kurtosis are undefined"):
        hh.observation(hh.Recording("flat", np.full(STEPS, -70.0), current(1.0), DT, ON, OFF))


def test_rows_choose_the_noise_of_traces():
    stimulus = hh.Stimulus(current(2.2), DT, ON, OFF, -70.0)
    theta = np.array([CELLS["cell_other"][0]] * 4, np.float32)
    all_four = np.asarray(hh.traces(theta, stimulus, seed=2))
    np.testing.assert_allclose(hh.traces(theta[:2], stimulus, seed=2, rows=[3, 1]), all_four[[3, 1]], atol=0.01)
    with pytest.raises(ValueError, match=r"shape \(4,\), one per run, got \(2,\)"):
        hh.traces(theta, stimulus, seed=2, rows=[0, 1])


def test_tables_leave_out_what_failed():
    numbers = dict.fromkeys(Row.__dataclass_fields__, 0.5)
    rows = [
        Row(**{**numbers, "recording": name, "beta": beta, "resimulated": value})
        for name, beta, value in (("a", 25.0, 0.1), ("b", 25.0, 0.3), ("b", 100.0, 0.2))
    ]
    each, mean = tables(rows)
    assert isinstance(each, Table)
    assert each.rows == [("a", "0.100 ± 0.500", "-"), ("b", "0.300 ± 0.500", "0.200 ± 0.500")]
    assert mean.header == ("distance", "beta 25", "beta 100")
    # Two values: half their difference is the standard error of their mean; one has none.
    assert mean.rows[0] == ("re-simulated", "0.200 ± 0.100", "0.200")
    assert mean.title.startswith("Mean over 1 or 2 recordings")
