"""Distributions taken apart into numbers and structure, so that those of one family share their compiled programs.

numpyro's distributions are pytrees already, but in an order of fields that changes from process to process: their
programs would never be found again on disk.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import PyTree
from numpyro.distributions.util import lazy_property

# Attributes that numpyro's own classes do not declare, and that no density and no draw depends on.
_HARMLESS = {"reparametrized_params"}


@dataclass(frozen=True)
class Family:
    """What is left of a distribution without its numbers; equal where only numbers differ.

    Attributes:
        kind: class of the distribution.
        described: what the class keeps beside numbers, such as shapes, as text: some of it has no hash.
        settings: the same as it is.
        fields: names of what holds numbers, with its structure.
    """

    kind: type[dist.Distribution]
    described: str
    settings: dict[str, Any] = field(compare=False)
    fields: tuple[tuple[str, "Structure"], ...]


@dataclass(frozen=True)
class Whole:
    """A distribution that does not say which of its attributes are numbers; its programs are its own."""

    described: str
    distribution: dist.Distribution = field(compare=False)


@dataclass(frozen=True)
class Structure:
    """What is left of a pytree of numbers and distributions without its numbers; hashable."""

    tree: Any
    leaves: tuple[Family | Whole | None, ...]


def taken_apart(value: PyTree) -> tuple[Structure, PyTree]:
    """The structure and the numbers of a pytree whose leaves are numbers and distributions.

    Returns:
        What `put_together` takes; the numbers as arrays, in the same order in every process.
    """
    leaves, tree = jax.tree.flatten(value, is_leaf=lambda leaf: isinstance(leaf, dist.Distribution))
    parts = [_apart(leaf) if isinstance(leaf, dist.Distribution) else (None, jnp.asarray(leaf)) for leaf in leaves]
    return Structure(tree, tuple(family for family, _ in parts)), tuple(numbers for _, numbers in parts)


def put_together(structure: Structure, numbers: PyTree) -> Any:
    """What was taken apart, with these numbers; traceable."""
    leaves = [_together(family, own) for family, own in zip(structure.leaves, numbers, strict=True)]
    return jax.tree.unflatten(structure.tree, leaves)


def _apart(distribution: dist.Distribution) -> tuple[Family | Whole, PyTree]:
    kind = type(distribution)
    names = sorted(kind.gather_pytree_data_fields())
    settings = {name: vars(distribution).get(name) for name in sorted(kind.gather_pytree_aux_fields())}
    undeclared = {
        name: value
        for name, value in vars(distribution).items()
        if name not in {*names, *settings, *_HARMLESS} and not isinstance(getattr(kind, name, None), lazy_property)
    }
    values = {name: vars(distribution).get(name) for name in names}
    if undeclared or not all(_is_number(leaf) for leaf in jax.tree.leaves(values)):
        return Whole(_described(distribution), distribution), ()
    parts = {name: taken_apart(value) for name, value in values.items()}
    fields = tuple((name, structure) for name, (structure, _) in parts.items())
    return Family(kind, repr(settings), settings, fields), tuple(numbers for _, numbers in parts.values())


def _together(family: Family | Whole | None, numbers: PyTree) -> Any:
    if family is None:
        return numbers
    if isinstance(family, Whole):
        return family.distribution
    values = {name: put_together(structure, own) for (name, structure), own in zip(family.fields, numbers, strict=True)}
    # In the order in which numpyro names them in this process.
    data = tuple(values[name] for name in family.kind.gather_pytree_data_fields())
    settings = tuple(family.settings[name] for name in family.kind.gather_pytree_aux_fields())
    return family.kind.tree_unflatten(settings, data)


def _is_number(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind in "biuf"


def _described(distribution: dist.Distribution) -> str:
    """All attributes as text, the numbers in full."""
    with np.printoptions(threshold=np.iinfo(np.int64).max, floatmode="unique"):
        return f"{type(distribution)} {jax.tree.map(np.asarray, sorted(vars(distribution).items()))!r}"
