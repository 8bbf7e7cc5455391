"""`save` and `load` a cost: one safetensors file with a JSON description in its header.

One file cannot lose its other half. The description rebuilds the object from a list of known classes and plain values,
and the tensors fill it: nothing in a file is executed. Checksums cover both.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as tensors_to_bytes

from ..distances import UserDistance
from ..distances.additive import Growth
from ..distances.base import Distance, distance_classes
from ..distances.spread import OutputSpread
from ..distances.transforms import transform_of
from ..learning import (
    corrected_mean,
    distributions,
    embeddings,
    layers,
    polynomial,
    process_means,
    reduced_rank,
    ridge,
    success,
    warps,
)
from ..learning.training import FitRecord
from ..runtime.compiling import on_device
from ..runtime.damaged_files import damage_told
from ..runtime.files import replaced_file
from ..runtime.object_storage import need_local
from ..runtime.outcome import Outcome
from . import corrected_spread, emulated, error_of_values, forms, noise_on_scales, spread_shares
from .cost import Cost
from .frame import Frame
from .held_out import HeldOutRows
from .known_parameters import held_names, with_known
from .measured import MeasurementError

_FORMAT = "genbayes-cost"
_VERSION = 14
# Files from this version on can be read: what they lack is known.
_OLDEST = 6
# The parts of a cost beside its distance; distances register themselves (`distance_classes`).
_PARTS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        emulated.EmulatedForm,
        forms.HilbertForm,
        forms.MarginalForm,
        forms.NetworkForm,
        Growth,
        eqx.nn.Conv1d,
        distributions.LogisticMixture,
        distributions.TailTransform,
        distributions.TransformedMean,
        embeddings.PairNetwork,
        embeddings.SetEmbedding,
        embeddings.TimeSeriesEmbedding,
        embeddings.VectorEmbedding,
        layers.Indicators,
        layers.Linear,
        layers.ResidualMLP,
        layers.Standardiser,
        process_means.ProcessMean,
        corrected_mean.CorrectedMean,
        corrected_spread.CorrectedSpread,
        error_of_values.ErrorOfValues,
        warps.Warps,
        polynomial.Polynomial,
        reduced_rank.Directions,
        ridge.RidgeResidual,
        spread_shares.SpreadShares,
        noise_on_scales.NoiseOnScales,
        success.SuccessModel,
    )
}
# Names in files that earlier versions wrote, and what they are called now.
_RENAMED_CLASSES = {"Bend": "TailTransform"}
# Fields that earlier versions did not have, with the value that says what they did.
_ADDED_FIELDS: dict[str, dict[str, Any]] = {
    "RidgeResidual": {"log_link": None, "log_most": None},
    "HilbertForm": {"directions": None, "shares": None},
    "LogisticMixture": {"relative_spread": None},
    "MarginalForm": {"error": None},
    "EnergyDistance": {"unit": 1.0},
    "SlicedWasserstein": {"unit": 1.0},
    "Standardiser": {"indicators": None},
    "Polynomial": {"straight": None},
    # Whether their scale was given in numbers or taken from simulations was not kept.
    **{
        name: {"scale_rule": "given", "transform": None}
        for name in ("CappedError", "HuberError", "Mahalanobis", "MeanAbsoluteError", "MeanSquaredError")
    },
}
_RENAMED_FIELDS = {"LogisticMixture": {"bend": "transform"}}


def save(cost: Cost, path: str | Path) -> Path:
    """Writes a fitted cost to one file; the distance, scales, names, shapes and training record go with it.

    Args:
        cost: from `fit_cost`.
        path: of the file; ".safetensors" is the usual ending.

    Raises:
        TypeError: the cost is `Cost.exact` of a function, which cannot be stored.
    """
    if not isinstance(cost, Cost):
        raise TypeError(f"save stores a genbayes.Cost, got {type(cost).__name__}.")
    need_local(path, "path", "Save it to a local path, and copy the file.")
    # Of a cost with held parameters the whole one is stored, and which of its parameters are held.
    held, cost = held_names(cost), cost if cost.whole is None else cost.whole
    tensors: dict[str, np.ndarray] = {}
    described = {
        "form": _encode(cost.form, tensors, "form"),
        "distance": _encode(cost.distance, tensors, "distance"),
        "names": list(cost.names),
        "condition_names": list(cost.condition_names),
        "x_shape": list(cost.x_shape),
        "settings": cost.settings,
        "fit": [_encode_record(record, tensors, f"fit.{i}") for i, record in enumerate(cost.fit)],
        "held_out": None if cost.held_out is None else _encode_rows(cost.held_out, tensors),
        "success": _encode(cost.success, tensors, "success"),
        "penalty": cost.penalty,
        **({} if cost.measurement_error is None else {"measurement_error": cost.measurement_error.stored}),
        **({"held": list(held)} if held else {}),
        "frame": [_encode(cost.frame.location, tensors, "location"), _encode(cost.frame.unit, tensors, "unit")],
        "transform": cost.frame.transform.name,
        "spread": None if cost.spread is None else _encode_spread(cost.spread, tensors),
        "versions": {"jax": jax.__version__, "equinox": eqx.__version__, "numpy": np.__version__},
    }
    text = json.dumps(described, sort_keys=True, allow_nan=False)
    header = {
        "format": _FORMAT,
        "format_version": str(_VERSION),
        "description": text,
        "checksum": _checksum(f"{_VERSION}{text}", tensors),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as beside:
        beside.write_bytes(tensors_to_bytes(tensors, header))
    return path


def load(
    path: str | Path,
    *,
    distance: UserDistance | None = None,
    measurement_error: Callable[[Any], Any] | None = None,
) -> Cost:
    """Reads a cost that `save` wrote.

    Args:
        path: of the file.
        distance: where the cost was fitted with a `UserDistance`, the same one again (files hold no code); its name
            must be the saved one.
        measurement_error: where it was fitted with a function as measurement error, the same one again.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, truncated, of another program or of a newer genbayes, or the distance is
            missing or has another name; so of a function as measurement error.
    """
    need_local(path, "path", "Copy the file here first.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; save a cost there by genbayes.save(cost, path).")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a saved cost ({error}): it is damaged, truncated, or of another program. Save "
            "the cost again, or fit it again from the stored simulations."
        ) from error
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} is a safetensors file, but not of a genbayes cost (format {header.get('format')!r}).")
    version = header.get("format_version", "")
    if version.isdecimal() and int(version) > _VERSION:
        raise ValueError(
            f"{path} has format version {version}, this genbayes reads up to {_VERSION}: upgrade genbayes."
        )
    if version.isdecimal() and int(version) < _OLDEST:
        raise ValueError(
            f"{path} has format version {version} of an earlier genbayes, this one reads {_OLDEST} to {_VERSION}: fit "
            "again."
        )
    if not version.isdecimal() or header.get("checksum") != _checksum(version + header.get("description", ""), tensors):
        raise ValueError(f"{path} is damaged: its contents do not match its checksum. Copy or save the file again.")
    described = json.loads(header["description"])
    user = _check_user_distance(path, described["distance"], distance)
    error = MeasurementError.read(path, described.get("measurement_error"), measurement_error)
    with damage_told(path, "a saved cost", "Load it with the genbayes that saved it, or fit the cost again."):
        return _decoded(described, tensors, user, error)


def _decoded(
    described: dict[str, Any],
    tensors: dict[str, np.ndarray],
    user: UserDistance | None,
    error: MeasurementError | None,
) -> Cost:
    """The cost that a file describes."""
    known = _decode(described["distance"], tensors, user)
    cost = Cost(
        form=_decode(described["form"], tensors, user),
        distance=known,
        names=tuple(described["names"]),
        x_shape=tuple(described["x_shape"]),
        fit=tuple(_decode_record(record, tensors) for record in described["fit"]),
        settings=described["settings"],
        condition_names=tuple(described["condition_names"]),
        held_out=_decode_rows(described.get("held_out"), tensors),
        success=_decode(described.get("success"), tensors, None),
        penalty=described.get("penalty"),
        measurement_error=error,
        frame=_decode_frame(described.get("frame"), described.get("transform"), tensors),
        spread=_decode_spread(described.get("spread"), tensors),
    )
    held = tuple(described.get("held", ()))
    return with_known(cost, held) if held else cost


def _encode(node: Any, tensors: dict[str, np.ndarray], where: str) -> Any:
    """A JSON description of a tree of modules; its arrays go to `tensors` under their place in the tree."""
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if isinstance(node, jax.Array | np.ndarray):
        # safetensors writes the memory of a non-contiguous array in the wrong order.
        tensors[where] = np.ascontiguousarray(node).reshape(np.shape(node))
        return {"array": where}
    if isinstance(node, tuple | list):
        return {"tuple": [_encode(item, tensors, f"{where}.{i}") for i, item in enumerate(node)]}
    if isinstance(node, UserDistance):
        return {"user_distance": node.name, "units": node.units}
    name = type(node).__name__
    if isinstance(node, eqx.Module) and _known_classes().get(name) is type(node):
        fields = node.__dataclass_fields__
        return {"class": name, "fields": {f: _encode(getattr(node, f), tensors, f"{where}.{f}") for f in fields}}
    remedy = "only costs from fit_cost are stored, whose distances have fields that are arrays, numbers and texts."
    if isinstance(node, Distance):
        remedy = "another distance class of this name has been made since; make the distance anew, and fit again."
    raise TypeError(f"save cannot store {where}, a {name}: {remedy}")


def _known_classes() -> dict[str, type]:
    """The classes that a file may name; no distance hides a part of a cost."""
    return {**distance_classes(), **_PARTS}


def _decode(node: Any, tensors: dict[str, np.ndarray], user: UserDistance | None) -> Any:
    """The object that `_encode` described; `user` stands in for a distance whose code is not in the file."""
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return on_device(tensors[node["array"]])
    if "tuple" in node:
        return tuple(_decode(item, tensors, user) for item in node["tuple"])
    if "user_distance" in node:
        return user
    known, class_name = _known_classes(), str(_RENAMED_CLASSES.get(node["class"], node["class"]))
    if class_name not in known:
        raise ValueError(
            f"the file names the class {class_name!r}, which this genbayes does not know: if it is a distance of your "
            "own, import the module that defines it before loading, else upgrade genbayes."
        )
    renamed = _RENAMED_FIELDS.get(class_name, {})
    fields: dict[str, Any] = {str(renamed.get(name, name)): value for name, value in node["fields"].items()}
    fields = {**_ADDED_FIELDS.get(class_name, {}), **fields}
    # JAX itself rebuilds a module in this way: fields are set, no constructor runs.
    expected = set(known[class_name].__dataclass_fields__)
    if expected != set(fields):
        raise ValueError(
            f"the file holds a {class_name} with the fields {sorted(fields)}, but that of this genbayes has "
            f"{sorted(expected)}: load it with the genbayes that saved it, or fit the cost again."
        )
    module = object.__new__(known[class_name])
    for name, value in fields.items():
        object.__setattr__(module, name, _decode(value, tensors, user))
    return module


def _encode_rows(rows: HeldOutRows, tensors: dict[str, np.ndarray]) -> dict[str, str]:
    where = {name: f"held_out.{name}" for name in ("inputs", "x", "member", "ok")}
    tensors |= {where[name]: np.ascontiguousarray(getattr(rows, name)) for name in where}
    return where


def _decode_rows(node: dict[str, str] | None, tensors: dict[str, np.ndarray]) -> HeldOutRows | None:
    if node is None:
        return None
    parts = {name: tensors[where] for name, where in node.items()}
    # Up to version 8 all rows were of runs that had succeeded.
    return HeldOutRows(**{"ok": np.ones(len(parts["member"]), bool), **parts})


def _decode_frame(node: list[dict[str, str]] | None, name: Any, tensors: dict[str, np.ndarray]) -> Frame:
    if node is None:
        return Frame.none()
    location, unit = (tensors[part["array"]] for part in node)
    return Frame(location, unit, transform_of(name))


def _encode_spread(spread: OutputSpread, tensors: dict[str, np.ndarray]) -> dict[str, str]:
    where = {name: f"spread.{name}" for name in spread.__dataclass_fields__}
    tensors |= {where[name]: np.ascontiguousarray(getattr(spread, name)) for name in where}
    return where


def _decode_spread(node: dict[str, str] | None, tensors: dict[str, np.ndarray]) -> OutputSpread | None:
    return None if node is None else OutputSpread(**{name: tensors[where] for name, where in node.items()})


def _encode_record(record: FitRecord, tensors: dict[str, np.ndarray], where: str) -> dict[str, Any]:
    for name in ("train_loss", "validation_loss", "best_epoch"):
        tensors[f"{where}.{name}"] = np.ascontiguousarray(getattr(record, name))
    return {
        "name": record.name,
        "loss_name": record.loss_name,
        "seconds": record.seconds,
        "messages": list(record.outcome.messages),
        "where": where,
    }


def _decode_record(node: dict[str, Any], tensors: dict[str, np.ndarray]) -> FitRecord:
    arrays = {name: tensors[f"{node['where']}.{name}"] for name in ("train_loss", "validation_loss", "best_epoch")}
    outcome = Outcome(tuple(node["messages"]))
    return FitRecord(node["name"], node["loss_name"], seconds=node["seconds"], outcome=outcome, **arrays)


def _check_user_distance(path: Path, node: dict[str, Any], given: UserDistance | None) -> UserDistance | None:
    saved = node.get("user_distance")
    if saved is None:
        if given is not None:
            raise ValueError(f"{path} holds its own distance ({node['class']}); leave the argument distance out.")
        return None
    if given is None:
        raise ValueError(
            f"{path} was fitted with the user-written distance {saved!r}, and files hold no code: pass it again as "
            f"load(path, distance=UserDistance(function, name={saved!r}, units={node['units']!r}))."
        )
    if not isinstance(given, UserDistance):
        raise TypeError(f"distance must be a genbayes.distances.UserDistance, got {type(given).__name__}.")
    if given.name != saved:
        raise ValueError(f"{path} was fitted with the distance {saved!r}, but distance has the name {given.name!r}.")
    return given


def _checksum(text: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}:{array.dtype}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
