"""A cost comes back from its file bit by bit, and a file that is not one says so."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import genbayes as gb
from genbayes.costs import files
from genbayes.costs.forms import MarginalForm
from genbayes.distances import Distance, UserDistance

CONFIG = gb.FitConfig(members=2, width=8, depth=1, max_epochs=2, targets=2, batch_size=64)
RNG = np.random.default_rng(0)
THETA = RNG.uniform(-1, 1, (120, 2)).astype(np.float32)


def simulations(x: np.ndarray) -> gb.Simulations:
    return gb.Simulations.from_arrays(THETA, x.astype(np.float32), names=["rate", "gain"])


VECTORS = simulations(THETA[:, [0, 1, 0]] + RNG.normal(size=(120, 3)))
SETS = simulations(THETA[:, None] + RNG.normal(size=(120, 4, 2)))
USER = UserDistance(lambda x, y: jnp.max(jnp.abs(x - y)), name="largest", units="mV")
CASES: dict[str, tuple[gb.Simulations, Distance, dict[str, Any]]] = {
    "mse": (VECTORS, gb.distances.MeanSquaredError(scale="prior_predictive"), {}),
    "mahalanobis": (VECTORS, gb.distances.Mahalanobis("prior_predictive"), {}),
    "mae": (VECTORS, gb.distances.MeanAbsoluteError(scale=[1.0, 2.0, 3.0]), {}),
    "mmd": (SETS, gb.distances.MMD(estimator="unbiased", max_landmarks=20), {}),
    "energy": (SETS, gb.distances.EnergyDistance(max_landmarks=20), {}),
    "sliced wasserstein": (SETS, gb.distances.SlicedWasserstein(4), {}),
    "general set": (SETS, gb.distances.EnergyDistance(max_landmarks=20), {"method": "general"}),
    "general series": (SETS, gb.distances.MeanSquaredError(), {"method": "general", "embedding": "series"}),
    "user": (VECTORS, USER, {}),
}
COSTS: dict[str, gb.Cost] = {}


def cost_of(name: str) -> gb.Cost:
    if name not in COSTS:
        data, distance, settings = CASES[name]
        COSTS[name] = gb.fit_cost(data, distance, seed=1, config=CONFIG, progress=False, **settings)
    return COSTS[name]


def saved(tmp_path: Path, name: str = "mse") -> Path:
    return gb.save(cost_of(name), tmp_path / "cost.safetensors")


def rewritten(path: Path, change: Any, **metadata: str) -> Path:
    """The file with its description changed and its checksum made right again."""
    with safetensors.safe_open(path, framework="numpy") as file:
        header, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    described = json.loads(header["description"])
    change(described)
    header["description"] = json.dumps(described)
    header["checksum"] = files._checksum(header["format_version"] + header["description"], tensors)
    path.write_bytes(safetensors.numpy.save(tensors, header | metadata))
    return path


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    cost = cost_of(name)
    path = gb.save(cost, tmp_path / "deep" / "cost.safetensors")
    again = gb.load(path, distance=USER if name == "user" else None)
    theta = jnp.asarray(RNG.uniform(-1, 1, (20, 2)), jnp.float32)
    x = jnp.asarray(CASES[name][0].x[:20] * 3)
    np.testing.assert_array_equal(again(theta, x), cost(theta, x))
    np.testing.assert_array_equal(again.members(theta, x), cost.members(theta, x))
    if name != "user":
        np.testing.assert_array_equal(again.distance(x[0], x[1]), cost.distance(x[0], x[1]))
    assert (again.names, again.x_shape, again.settings) == (cost.names, cost.x_shape, cost.settings)
    assert (again.distance.name, again.distance.units) == (cost.distance.name, cost.distance.units)
    for one, two in zip(again.fit, cost.fit, strict=True):
        assert (one.name, one.loss_name, one.seconds) == (two.name, two.loss_name, two.seconds)
        assert one.outcome == two.outcome
        for array in ("train_loss", "validation_loss", "best_epoch"):
            np.testing.assert_array_equal(getattr(one, array), getattr(two, array))


def test_settings_say_how_it_was_fitted(tmp_path: Path) -> None:
    settings = gb.load(saved(tmp_path)).settings
    assert settings["seed"] == 1
    assert settings["simulations"] == 120
    assert settings["config"]["max_epochs"] == 2
    assert settings["form"] == "HilbertForm"


def test_non_contiguous_arrays_survive(tmp_path: Path) -> None:

    cost = cost_of("mse")
    record = replace(cost.fit[0], train_loss=np.arange(6.0).reshape(2, 3).T)
    path = gb.save(replace(cost, fit=(record,)), tmp_path / "cost")
    np.testing.assert_array_equal(gb.load(path).fit[0].train_loss, [[0, 3], [1, 4], [2, 5]])


def test_a_user_distance_must_be_passed_again(tmp_path: Path) -> None:
    path = saved(tmp_path, "user")
    with pytest.raises(ValueError, match=r"'largest'.*files hold no code.*units='mV'"):
        gb.load(path)
    other = UserDistance(USER.function, name="smallest", units="mV")
    with pytest.raises(ValueError, match=r"distance 'largest', but distance has the name 'smallest'"):
        gb.load(path, distance=other)
    with pytest.raises(ValueError, match=r"its own distance \(MeanSquaredError\)"):
        gb.load(saved(tmp_path), distance=USER)


def test_damage_anywhere_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    places = [*range(8), *range(8, 8 + header, max(1, header // 150)), *range(8 + header, len(data), len(data) // 40)]
    for place in places:
        for mask in (1, 4, 128):
            damaged = bytearray(data)
            damaged[place] ^= mask
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"damaged|not of a genbayes cost|format version"):
                gb.load(path)
    path.write_bytes(data)
    gb.load(path)


@pytest.mark.parametrize("key", ["format_version", "checksum", "description"])
def test_a_header_without_a_part_is_damage(key: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    with safetensors.safe_open(path, framework="numpy") as file:
        header, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header[key]
    path.write_bytes(safetensors.numpy.save(tensors, header))
    with pytest.raises(ValueError, match="is damaged"):
        gb.load(path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_files(keep: int, tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cannot be read as a saved cost.*truncated"):
        gb.load(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text("a diary, much longer than eight letters")
    with pytest.raises(ValueError, match=r"cannot be read as a saved cost.*of another program"):
        gb.load(path)
    path.write_bytes(safetensors.numpy.save({"weights": np.zeros(3, np.float32)}, {"format": "pt"}))
    with pytest.raises(ValueError, match=r"not of a genbayes cost \(format 'pt'\)"):
        gb.load(path)
    path.write_bytes(safetensors.numpy.save({"weights": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match=r"not of a genbayes cost \(format None\)"):
        gb.load(path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*missing"):
        gb.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        gb.load(tmp_path)


def test_an_older_format_asks_to_fit_again(tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path), lambda described: None, format_version="1")
    with pytest.raises(ValueError, match=r"format version 1 of an earlier genbayes.*fit again"):
        gb.load(path)


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    newer = files._VERSION + 1
    path = rewritten(saved(tmp_path), lambda described: None, format_version=str(newer))
    with pytest.raises(ValueError, match=rf"format version {newer}, .* up to {files._VERSION}: upgrade"):
        gb.load(path)


@pytest.mark.parametrize("name", ["os.system", "system", "Linear.__init__", "UnknownForm"])
def test_only_known_classes_are_built(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "system", calls.append)

    def change(described: dict) -> None:
        described["form"] = {"class": name, "fields": {"command": "true"}}

    with pytest.raises(ValueError, match=rf"names the class '{name}', which this genbayes does not know"):
        gb.load(rewritten(saved(tmp_path), change))
    assert calls == []


def test_a_class_of_other_fields_is_refused(tmp_path: Path) -> None:
    def change(described: dict) -> None:
        described["form"]["fields"]["extra"] = 1.0

    with pytest.raises(ValueError, match=r"HilbertForm with the fields .*'extra'"):
        gb.load(rewritten(saved(tmp_path), change))


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def interrupted(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gb.save(cost_of("mae"), path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    gb.load(path)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    exact = gb.Cost.exact(lambda theta, x: jnp.sum(theta), names=("a",), x_shape=(1,), units="1")
    with pytest.raises(TypeError, match="save cannot store form, a FunctionForm"):
        gb.save(exact, tmp_path / "cost")
    assert not list(tmp_path.iterdir())


def test_a_file_with_the_names_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """A mixture's `transform` of class TailTransform was called `bend` and Bend, and its spread did not vary."""

    def change(described: dict) -> None:
        mixture = described["form"]["fields"]["distribution"]["fields"]
        mixture["location"]["fields"].get("transform", {})["class"] = "Bend"
        mixture["bend"] = {**mixture.pop("transform"), "class": "Bend"}
        del mixture["relative_spread"]

    def change_polynomials(node: Any) -> None:
        """Products of polynomials had no straight coordinates."""
        if isinstance(node, dict):
            if node.get("class") == "Polynomial":
                assert node["fields"].pop("straight") is None
            for inner in node.values():
                change_polynomials(inner)

    path = rewritten(saved(tmp_path, "mse"), change_polynomials)
    np.testing.assert_array_equal(gb.load(path)(THETA[:9], VECTORS.x[0]), cost_of("mse")(THETA[:9], VECTORS.x[0]))
    path = rewritten(saved(tmp_path, "mae"), change)
    assert b"TailTransform" not in path.read_bytes()
    theta, cost = jnp.asarray(THETA[:10]), cost_of("mae")
    form = cast(MarginalForm, cost.form)
    even = replace(cost, form=replace(form, distribution=replace(form.distribution, relative_spread=None)))
    np.testing.assert_array_equal(gb.load(path)(theta, VECTORS.x[0]), even(theta, VECTORS.x[0]))
