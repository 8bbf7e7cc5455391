"""The laws that hold for every registered kind of simulator."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genbayes.priors.prior import Prior
from genbayes.simulations import simulators
from genbayes.simulations.executors import Job
from genbayes.simulations.external_program import ExternalProgram
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate, simulate_at
from genbayes.simulations.simulators import (
    JaxSimulator,
    PythonSimulator,
    Simulator,
    as_simulator,
    qualified_name,
    registered,
    simulator_kinds,
)
from genbayes.simulations.worker import Result

PRIOR = Prior.uniform([0, -1], [1, 1], names=["rate", "delay"])
KNOWN = Prior.uniform(2, 3, names=["dose"])


def in_jax(key, theta, conditions=None):
    known = jnp.zeros(1) if conditions is None else conditions
    output = jnp.concatenate([theta, known, jax.random.normal(key, (1,))])
    return jnp.where(theta[0] < 0.2, jnp.nan, output)


def in_python(theta, rng, conditions=None):
    if theta[0] < 0.2:
        raise ValueError("rate too low")
    return np.concatenate([theta, np.zeros(1) if conditions is None else conditions, rng.normal(size=1)])


IN_AWK = ExternalProgram(
    ["awk", "-f", Path(__file__).with_name("by_json.awk")], stdin="json", name="programs:by_json.awk"
)

# One simulator of every kind: parameters, the condition or 0, and a standard normal number; it fails where theta[0] is
# below 0.2. With it the reason of the failures, and the name in stores. A kind that cannot return this (a table of
# finished runs) is left unregistered: instances are taken all the same, and of its rows the first law can be asked.
EXAMPLES: dict[type[Simulator], tuple[Any, str, str]] = {
    JaxSimulator: (in_jax, "NaN in the output", f"{__name__}:in_jax"),
    PythonSimulator: (in_python, "ValueError: rate too low", f"{__name__}:in_python"),
    ExternalProgram: (IN_AWK, "exit code 3: rate too low", "programs:by_json.awk"),
}


def run(simulator: Any, n: int, **options: Any) -> Simulations:
    return simulate(simulator, PRIOR, n, seed=3, progress=False, **options)


def assert_same(one: Simulations, two: Simulations) -> None:
    for name in ("theta", "x", "status", "conditions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.reasons == two.reasons


def rows_follow_from_seed_and_row_alone(simulator: Any) -> None:
    """The law that everything rests on: resuming, extending, and any number of workers."""
    whole = run(simulator, 40)
    assert_same(run(simulator, 40, batch_size=7), whole)
    assert_same(run(simulator, 25), whole.selected(np.arange(25)))
    assert len(np.unique(whole.x[whole.ok, -1])) == whole.ok.sum()
    assert (simulate(simulator, PRIOR, 40, seed=4, progress=False).x[:, -1] != whole.x[:, -1]).all()


@pytest.fixture(params=simulator_kinds(), ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Simulator]:
    return request.param


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(simulator_kinds())


def test_rows_follow_from_seed_and_row_alone(kind: type[Simulator]) -> None:
    rows_follow_from_seed_and_row_alone(EXAMPLES[kind][0])


def test_rows_of_one_number_share_their_noise(kind: type[Simulator]) -> None:
    simulator = as_simulator(EXAMPLES[kind][0], conditional=False)
    numbers = np.array([4, 7, 4, 7, 9])
    job = Job(5, np.arange(5), numbers, np.full((5, 2), 0.5, np.float32), dim=2)
    noise = np.empty(5)
    for row, output in (result for batch in simulator.run(job) for result in batch):
        noise[row] = np.asarray(output)[-1]
    np.testing.assert_array_equal(noise[:, None] == noise, numbers[:, None] == numbers)
    # Other rows, same numbers: the noise follows from the number, not from the place of the result.
    moved = {row: out for batch in simulator.run(replace(job, rows=job.rows + 10)) for row, out in batch}
    np.testing.assert_array_equal([moved[row][-1] for row in range(10, 15)], noise)


def test_parameters_and_conditions_reach_the_simulator(kind: type[Simulator]) -> None:
    simulator = EXAMPLES[kind][0]
    made = run(simulator, 30, conditions=KNOWN)
    np.testing.assert_array_equal(made.x[made.ok, :3], made.inputs[made.ok])
    again = simulate_at(simulator, made.theta, seed=3, conditions=made.conditions, progress=False)
    np.testing.assert_array_equal(again.x, made.x)


def test_failures_are_kept_with_their_reason(kind: type[Simulator]) -> None:
    simulator, reason, _ = EXAMPLES[kind]
    made = run(simulator, 60)
    np.testing.assert_array_equal(made.ok, made.theta[:, 0] >= 0.2)
    assert 0 < made.n_failed < 60
    assert made.reasons[2:] == (reason,)


def test_the_store_knows_the_name_and_goes_on(kind: type[Simulator], tmp_path: Path) -> None:
    simulator, _, name = EXAMPLES[kind]
    run(simulator, 15, store=tmp_path / "a")
    assert Simulations.open(tmp_path / "a").simulator == name == qualified_name(simulator)
    assert qualified_name(as_simulator(simulator, conditional=False)) == name
    assert_same(run(simulator, 40, store=tmp_path / "a"), run(simulator, 40))
    with pytest.raises(ValueError, match="made with simulator .*, this call has simulator '.*:another'"):
        run(_named(simulator, "another"), 40, store=tmp_path / "a")


def _named(simulator: Any, name: str) -> Simulator:
    """The same simulator under another name."""
    other = copy.copy(as_simulator(simulator, conditional=False))
    kind = type(other)
    renamed = type(kind.__name__, (kind,), {"name": property(lambda self: f"elsewhere:{name}")})
    other.__class__ = renamed
    return other


def test_an_instance_is_taken_as_it_is(kind: type[Simulator]) -> None:
    simulator = EXAMPLES[kind][0]
    made = as_simulator(simulator, conditional=False)
    assert type(made) is kind
    assert as_simulator(made, conditional=True) is made
    assert_same(run(made, 20), run(simulator, 20))


def test_every_kind_says_what_it_is(kind: type[Simulator]) -> None:
    made = as_simulator(EXAMPLES[kind][0], conditional=False)
    assert made.kind
    assert made.usage
    assert made.name in repr(made)
    assert " object at 0x" not in repr(made)
    if made.vectorised:
        with pytest.raises(ValueError, match=f"`workers` must be 1 for a {made.kind} simulator, got 2"):
            run(made, 5, workers=2)


class ByPlace(Simulator):
    """The mutant: random numbers by a row's place in its batch."""

    kind = "mutant"
    usage = "ByPlace()"

    @property
    def name(self) -> str:
        return "mutant"

    def run(self, job: Job) -> Iterator[list[Result]]:
        size = job.batch_size or 32
        for start in range(0, len(job), size):
            rng = np.random.default_rng([job.seed, start])
            yield [
                (int(job.rows[i]), np.append(job.inputs[i], np.float32(rng.normal())))
                for i in range(start, min(start + size, len(job)))
            ]


def test_the_law_sees_random_numbers_by_place() -> None:
    with pytest.raises(AssertionError):
        rows_follow_from_seed_and_row_alone(ByPlace())


def test_a_registered_kind_recognises_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without others, which might recognise the function first.
    monkeypatch.setattr(simulators, "_kinds", [JaxSimulator, PythonSimulator])

    @registered
    class Vectorised(Simulator):
        kind = "numpy"
        usage = "`def simulator(thetas, rngs)` in numpy"

        def __init__(self, function: Callable):
            self._function = function

        @classmethod
        def of(cls, simulator: Any, conditional: bool) -> "Vectorised | None":
            return cls(simulator) if getattr(simulator, "takes_many", False) else None

        @property
        def name(self) -> str:
            return qualified_name(self._function)

        def run(self, job: Job) -> Iterator[list[Result]]:
            rngs = [np.random.default_rng([job.seed, number]) for number in job.numbers]
            yield list(zip(job.rows.tolist(), self._function(job.inputs, rngs), strict=True))

    def many(thetas, rngs):
        return np.stack([np.append(theta, rng.normal()) for theta, rng in zip(thetas, rngs, strict=True)]).astype("f4")

    many.takes_many = True  # pyright: ignore[reportFunctionMemberAccess]
    assert type(as_simulator(many, conditional=False)) is Vectorised
    rows_follow_from_seed_and_row_alone(many)
    with pytest.raises(TypeError, match=r"in JAX .* or .* in Python .* or `def simulator\(thetas, rngs\)` in numpy"):
        run(lambda z: z, 3)
