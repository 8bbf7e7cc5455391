"""Matrix products are in full single precision, whatever the device would take by itself."""

import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes
import genbayes as gb
from genbayes.runtime import compiling
from genbayes.runtime.compiling import compiled, compiled_for_rows, in_full_precision, on_device, shared_length

SOURCES = Path(genbayes.__file__).parent


def product(a: Any, b: Any) -> Any:
    return a @ b


def precisions(function: Any, *arguments: Any) -> set[str]:
    """Those of all matrix products in a program."""
    text = str(jax.make_jaxpr(function)(*arguments))
    return set(re.findall(r"precision=(?:\(?Precision\.)?(\w+)", text)) if "dot_general" in text else set()


def test_a_compiled_function_multiplies_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    a, handed_on = jnp.ones((3, 3)), []

    def filter_jit(function: Any, compiler_options: dict[str, Any]) -> Any:
        handed_on.append((function, compiler_options))
        return function

    monkeypatch.setattr(eqx, "filter_jit", filter_jit)
    np.testing.assert_array_equal(compiled(product)(a, a), 3.0)
    [(function, options)] = handed_on
    assert precisions(function, a, a) == {"HIGHEST"}
    assert options.items() >= compiling.OPTIONS.items()
    # The mutant: JAX's own default.
    assert not precisions(product, a, a)


def test_a_program_for_rows_does_without_options_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, matrix = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.eye(3, dtype=np.float32)[::-1].copy()
    for options in (compiling._OWN_PRODUCTS, {"xla_cpu_of_another_version": ""}):
        monkeypatch.setattr(compiling, "_OWN_PRODUCTS", options)
        assert np.array_equal(compiled_for_rows(product)(jnp.asarray(rows), jnp.asarray(matrix)), rows[:, ::-1])
    # The mutant: what JAX says of it.
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        jax.jit(product, compiler_options=options)(rows, matrix)


def test_what_a_user_has_set_for_jax_stays() -> None:
    a = jnp.ones((3, 3))
    with jax.default_matmul_precision("high"):
        assert precisions(in_full_precision(product), a, a) == {"HIGH"}


def test_costs_and_samplers_are_in_full_precision() -> None:
    prior = gb.Prior({"a": dist.Uniform(-1, 1), "b": dist.Normal(0, 1)})
    simulations = gb.simulate(lambda theta, rng: theta.sum() + rng.normal(size=3), prior, 200, seed=0, progress=False)
    cost = gb.fit_cost(simulations, gb.distances.MeanSquaredError(), config=gb.FitConfig(max_epochs=2), progress=False)
    theta = jnp.zeros((4, 2))
    assert precisions(lambda one: cost(one, np.zeros(3)), theta) == {"HIGHEST"}


def programs_of(function: Any) -> list[str]:
    """Names of the programs that a call asks the compiler, or the cache on disk, for."""
    asked: list[str] = []
    listening = True

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if listening and "backend_compile" in event:
            asked.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    function()
    listening = False
    return asked


def test_known_numbers_reach_the_device_without_a_program() -> None:
    # Shapes that nothing else has.
    values = [np.arange(3.0 * n).reshape(n, 3) for n in range(1013, 1018)]
    placed: list[Any] = []
    assert not programs_of(lambda: placed.extend(on_device(one, np.float32) for one in values))
    for one, there in zip(values, placed, strict=True):
        assert there.dtype == np.float32
        np.testing.assert_array_equal(there, one)
        # JAX may take the memory of numpy for its own: what is written there later must not be seen.
        one[0] = -1.0
        assert there[0, 1] == 1.0
    # The mutant: a program for every shape.
    assert len(programs_of(lambda: [jnp.asarray(one + 0.0, jnp.float32) for one in values])) >= len(values)


def test_a_fit_has_few_programs() -> None:
    """Those of training, of predictions and of distances: what is computed between them is numpy's."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (203, 3))
    x = np.abs(theta) + 0.1 * rng.normal(size=(203, 3))
    simulations = gb.Simulations.from_arrays(theta, x)
    distance, config = gb.distances.MeanSquaredError(0.1), gb.FitConfig(max_epochs=3, width=9)
    # There are 14; with a program for each array on its way to the device there were 103.
    assert len(programs_of(lambda: gb.fit_cost(simulations, distance, config=config, progress=False))) < 25


def test_lengths_of_programs_are_few_and_waste_little() -> None:
    lengths = {n: shared_length(n) for n in range(1, 100_001)}
    assert all(length >= n for n, length in lengths.items())
    assert all(length <= 1.25 * n for n, length in lengths.items() if n > 1024)
    # Four up to 1024, four for each of 6 doublings to 65,536, then 5, 6 and 7 eighths of 131,072.
    assert len(set(lengths.values())) == 4 + 4 * 6 + 3


def test_every_program_of_the_library_says_so() -> None:
    # A function that is compiled by JAX itself stands below in_full_precision, or has no matrix product to lose by.
    exempt = {"hodgkin_huxley/simulator.py"}
    for path in SOURCES.rglob("*.py"):
        place = path.relative_to(SOURCES).as_posix()
        if place in exempt or place == "runtime/compiling.py":
            continue
        text = path.read_text("utf-8")
        for match in re.finditer(r"@(?:eqx\.filter_jit|jax\.jit|functools\.partial\(jax\.jit[^\n]*)\n\s*(\S+)", text):
            assert match.group(1) == "@in_full_precision", place
