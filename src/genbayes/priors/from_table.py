"""Priors by the names of their distributions: a table as in problem.toml, and the description that stores keep."""

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpyro.distributions as dist

DISTRIBUTIONS: dict[str, type] = {
    name: cls for name, cls in vars(dist).items() if inspect.isclass(cls) and issubclass(cls, dist.Distribution)
}
# In numpyro these names are functions that choose between probabilities and logits.
DISTRIBUTIONS |= {name: DISTRIBUTIONS[f"{name}Probs"] for name in ("Bernoulli", "Binomial", "Categorical")}
# Arguments that are whole numbers, of which lists are arrays of integers.
WHOLE = {"DiscreteUniform": ("low", "high"), "Binomial": ("total_count",), "BinomialProbs": ("total_count",)}


def distributions_of(table: Mapping[str, Any] | str) -> dict[str, dist.Distribution]:
    """The distributions of a table, or of a TOML text of one, by the names of their parameters.

    Raises:
        TypeError: the table, or an entry, is something else.
        ValueError: the text is no TOML, a distribution is unknown, or cannot be made of its arguments.
    """
    if isinstance(table, str):
        try:
            table = tomllib.loads(table)
        except tomllib.TOMLDecodeError as error:
            expected = 'rate = { distribution = "LogNormal", loc = 0.0, scale = 0.5 }'
            raise ValueError(
                f"`table` is no TOML ({error}): write a line for each parameter, such as {expected}."
            ) from error
        table = table.get("prior", table)
    if not isinstance(table, Mapping):
        raise TypeError(f"`table` must be a mapping or a TOML text, got {type(table).__name__}.")
    return {str(name): _made(str(name), entry) for name, entry in table.items()}


def _made(name: str, entry: Any) -> dist.Distribution:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("distribution"), str):
        raise TypeError(f"{name!r} must be like {{'distribution': 'Uniform', 'low': 0.0, 'high': 1.0}}, got {entry!r}.")
    kind, whole = entry["distribution"], WHOLE.get(entry["distribution"], ())
    if kind not in DISTRIBUTIONS:
        raise ValueError(f"{name!r}: the distribution {kind!r} is unknown; take a class of numpyro.distributions.")
    arguments = {
        key: np.asarray(value, np.int32 if key in whole else np.float32) if isinstance(value, list) else value
        for key, value in entry.items()
        if key != "distribution"
    }
    try:
        return DISTRIBUTIONS[kind](**arguments, validate_args=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name!r}: {kind} cannot be made of {arguments}: {' '.join(str(error).split())}") from error


def described_distributions(description: Sequence[Mapping[str, Any]]) -> dict[str, dist.Distribution]:
    """The distributions of `Prior.describe()`, by the names of their parameters.

    Raises:
        ValueError: one has no class in numpyro by its name, or is not made of its settings alone.
    """
    found = {}
    for item in description:
        try:
            found[str(item["name"])] = _rebuilt(item)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the parameter {item.get('name')!r} cannot be made again from its description "
                f"({item.get('distribution')}: {error}): keep the Prior itself."
            ) from error
    return found


def _rebuilt(value: Any) -> Any:
    """A distribution of its name and settings; numbers and lists of numbers as they are."""
    if isinstance(value, Mapping):
        cls = DISTRIBUTIONS[value["distribution"]]
        if cls is dist.Independent:
            # Coordinates of one parameter; a parameter has at most one axis.
            return dist.Independent(_rebuilt(value["settings"]["base_dist"]), 1)
        # What the constructor stored and does not take follows from the rest.
        takes = inspect.signature(cls.__init__).parameters
        settings = {key: _rebuilt(item) for key, item in value["settings"].items() if key in takes}
        whole = WHOLE.get(value["distribution"], ())
        return cls(**{key: np.asarray(item, np.int32) if key in whole else item for key, item in settings.items()})
    return np.asarray(value, np.float32) if isinstance(value, list) else float(value)
