"""`genbayes explore`: which pages it serves, to whom, and how it ends."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.explorer.server import PageServer

MADE = runpy.run_path(str(Path(__file__).parents[1] / "explorer" / "made_costs.py"))
PRIOR = gb.Prior({"b": dist.Normal(0.0, 1.0), "a": dist.Uniform(-2.0, 2.0)})
MODULE = "def simulate(theta, rng):\n    return theta + 0.3 * rng.normal(size=2)\n"
TOML = """
simulator = "model_for_explore:simulate"
[prior]
b = { distribution = "Normal", loc = 0.0, scale = 1.0 }
a = { distribution = "Uniform", low = -2.0, high = 2.0 }
[distance]
name = "MeanSquaredError"
[observation]
file = "x_o.csv"
"""
LONG = "patient,hour,conc\nA,0,-1\nA,3,1\nB,3,0.5\nB,0,0\n"
# An interrupt is heard also where the tests run in the background of a shell, which has it ignored.
IN_A_PROCESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from genbayes.cli import main
raise SystemExit(main(["explore", "p.toml", "--beta", "20"]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a cost and draws that were put together without any stage."""
    path = tmp_path_factory.mktemp("explored")
    (path / "model_for_explore.py").write_text(MODULE)
    (path / "p.toml").write_text(TOML)
    (path / "x_o.csv").write_text("0.5,-0.5\n")
    (path / "doses.csv").write_text(LONG)
    rng = np.random.default_rng(0)
    theta = np.asarray(PRIOR.sample(200, seed=1))
    cost = MADE["of_lines"](PRIOR, theta, theta + 0.3 * rng.standard_normal((200, 2)))
    (path / "p").mkdir()
    gb.save(cost, path / "p" / "cost.safetensors")
    chosen = rng.normal(0.0, 0.3, (2, 2, 4, 50, 2)).astype(np.float32)
    stack = np.array([[-1.0, 1.0], [0.0, 0.5]])
    costs = np.stack([np.asarray(cost(rows.reshape(-1, 2), x)) for rows, x in zip(chosen[:, 0], stack, strict=True)])
    costs = np.repeat(costs.reshape(2, 1, 4, 50), 2, axis=1).astype(np.float32)
    chosen = np.repeat(chosen[:, :1], 2, axis=1)
    for beta in (5.0, 20.0):
        x_o = np.array([0.5, -0.5])
        own = np.asarray(cost(chosen[0, 0].reshape(-1, 2), x_o), np.float32).reshape(4, 50)
        draws = gb.Draws(chosen[0, 0], own, PRIOR.names, beta, x_o, "SMC", 0)
        draws.save(path / "p" / f"draws-beta-{beta:g}.zarr")
    told = np.zeros((2, 2, 4), np.float32)
    gb.StackedDraws(
        chosen, costs, PRIOR.names, np.array([5.0, 20.0]), stack, told, told, np.ones((2, 4), int), "smc", 0,
        {"compile": 0.0, "run": 0.0}, {}, np.zeros((2, 0)),
    ).save(path / "p" / "doses-stacked-draws.zarr")  # fmt: skip
    return path


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the current directory."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def got(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture
def visited(monkeypatch) -> Callable[[str], dict[str, str]]:
    """Runs a command, asks for all pages, and interrupts it."""

    serve = PageServer.serve_forever

    def visit(line: str) -> dict[str, str]:
        found: dict[str, str] = {}

        def served(server: PageServer) -> None:
            thread = threading.Thread(target=serve, args=(server, 0.02), daemon=True)
            thread.start()
            try:
                found.update({path: got(server.address + path[1:]) for path in server._pages})
            finally:
                server.shutdown()
                thread.join()
            raise KeyboardInterrupt

        monkeypatch.setattr(PageServer, "serve_forever", served)
        assert cli.main(line.split()) == 0
        return found

    return visit


def test_one_posterior_is_one_page(here, visited, monkeypatch, capsys) -> None:
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    found = visited("explore p.toml --beta 20")
    assert list(found) == ["/"]
    assert "200 draws of 2 parameters, beta 20, sampler SMC." in found["/"]
    assert '"x_o":{"double":' in found["/"]
    out = capsys.readouterr().out
    assert "explorer: http://127.0.0.1:" in out
    assert out.endswith("\nended.\n")
    assert opened == []
    visited("explore p.toml --beta 20 --open --quiet")
    assert [capsys.readouterr().out] == [f"{opened[0]}\n"]


def test_several_betas_have_an_index(here, visited) -> None:
    found = visited("explore p.toml")
    assert sorted(found) == ["/", "/0", "/1"]
    assert '<a href="/0">the observation, beta 5</a>' in found["/"]
    assert "beta 5, sampler" in found["/0"]
    assert "beta 20, sampler" in found["/1"]


def test_many_observations_have_an_index(here, visited) -> None:
    table = 'file = "doses.csv"\ngroup = "patient"\nindex = "hour"\ncolumn = "conc"'
    (here / "p.toml").write_text(TOML.replace('file = "x_o.csv"', table))
    found = visited("explore p.toml")
    assert sorted(found) == ["/", "/0", "/1", "/2", "/3"]
    assert "4 posteriors: observations doses.csv." in found["/"]
    assert '<a href="/3">patient B, beta 20</a>' in found["/"]
    assert [href in found["/3"] for href in ('href="/2" rel="prev"', 'href="/"', 'rel="next"')] == [True, True, False]
    assert [href in found["/0"] for href in ('rel="prev"', 'href="/"', 'href="/1" rel="next"')] == [False, True, True]
    assert "<h1>p: patient B</h1>" in found["/3"]
    assert '"axis":[0.0,3.0],"axis_label":"hour"' in found["/3"]


def test_what_is_missing_is_told_with_the_command(here, capsys) -> None:
    for path in (here / "p").glob("*.zarr"):
        shutil.rmtree(path)
    assert cli.main(["explore", "p.toml"]) == 1
    assert "there are no draws in p. Run first: genbayes sample p.toml --beta 10" in capsys.readouterr().err
    assert cli.main(["explore", "p.toml", "--observations", "doses.csv"]) == 1
    assert "Run: genbayes sample p.toml --observations doses.csv --beta ..." in capsys.readouterr().err
    (here / "p" / "cost.safetensors").unlink()
    assert cli.main(["explore", "p.toml", "--observations", "doses.csv"]) == 1
    assert "Run first: genbayes fit p.toml" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["--port 70000", "--port x", "--host 0.0.0.0", "--port 8000 --bind 0.0.0.0"])
def test_other_hosts_and_ports_are_refused(given, capsys) -> None:
    assert cli.main(["explore", "p.toml", *given.split()]) == 2
    told = capsys.readouterr().err
    assert "expected a port from 1 to 65535" in told or "unrecognized arguments: --" in told


def test_an_interrupt_ends_it(here) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(gb.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        address = next(line for line in process.stdout if line.startswith("explorer: ")).split()[1]
        assert address.startswith("http://127.0.0.1:")
        assert "beta 20, sampler SMC." in got(address)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            got(f"{address}p.toml")
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.endswith("ended.\n")
    assert "Traceback" not in told
