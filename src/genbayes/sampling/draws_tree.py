"""The draws of one posterior as a tree in the schema of ArviZ, and back."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from ..runtime.outcome import Outcome
from .draws_files import WrongTree, stacked_parameters, whole_numbers
from .left_open import LeftOpen

if TYPE_CHECKING:
    import xarray as xr
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")


def tree_of_fields(fields: Mapping[str, Any]) -> "xr.DataTree":
    """The tree of the fields of `Draws`, by their names; see `Draws.to_datatree`."""
    theta, names, x_o, left_open = (fields[name] for name in ("theta", "names", "x_o", "left_open"))
    coords = {"chain": np.arange(theta.shape[0]), "draw": np.arange(theta.shape[1])}
    attributes = {
        "inference_library": "genbayes",
        "sampler": fields["sampler"],
        "beta": fields["beta"],
        "seed": fields["seed"],
        # As JSON: files do not keep the order of variables, and some formats have no empty lists.
        "parameters": json.dumps(names),
        "seconds": json.dumps(fields["seconds"]),
        "sampler_messages": json.dumps(fields["sampler_outcome"].messages),
        "conditions": json.dumps(fields["conditions"]),
        "integers": json.dumps(fields["integer_names"]),
    }
    posterior = xr.Dataset(
        {
            name: (
                ("chain", "draw"),
                whole_numbers(theta[..., i]) if name in fields["integer_names"] else theta[..., i],
            )
            for i, name in enumerate(names)
        },
        coords=coords,
        attrs=attributes,
    )
    stats: dict[str, Any] = {"cost": (("chain", "draw"), fields["cost"])}
    more = {} if left_open is None else {"left_open": left_open.to_dataset()}
    axes = [f"x_dim_{i}" for i in range(x_o.ndim)]
    return xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "sample_stats": xr.Dataset(stats, coords=coords),
            "observed_data": xr.Dataset({"x_o": (axes, x_o)}),
            "sampler_statistics": xr.Dataset(
                {
                    name: ([f"{name}_dim_{i}" for i in range(np.ndim(value))], np.asarray(value))
                    for name, value in fields["statistics"].items()
                }
            ),
            **more,
        }
    )


def fields_of_tree(tree: "xr.DataTree") -> dict[str, Any]:
    """What `tree_of_fields` put into a tree, by the names of the fields of `Draws`.

    Raises:
        ValueError: a tree of another program, or of the draws of a stack.
    """
    if "posterior" not in tree.children or tree["posterior"].attrs.get("inference_library") != "genbayes":
        raise WrongTree(
            f"the tree was not written by Draws.to_datatree: it has the groups {sorted(tree.children)}; draws of "
            "genbayes have a group posterior with the attribute inference_library = 'genbayes'."
        )
    attributes = tree["posterior"].attrs
    if attributes.get("stacked"):
        raise WrongTree("the tree holds the draws of a stack of observations: use StackedDraws instead of Draws.")
    names = tuple(json.loads(attributes["parameters"]))
    values = {str(name): np.asarray(array) for name, array in tree["sampler_statistics"].data_vars.items()}
    return dict(
        theta=stacked_parameters(tree, names),
        cost=np.asarray(tree["sample_stats"]["cost"]),
        names=names,
        beta=float(attributes["beta"]),
        x_o=np.asarray(tree["observed_data"]["x_o"]),
        sampler=str(attributes["sampler"]),
        seed=int(attributes["seed"]),
        statistics={name: array if array.ndim else array.item() for name, array in values.items()},
        seconds=json.loads(attributes["seconds"]),
        sampler_outcome=Outcome(tuple(json.loads(attributes["sampler_messages"]))),
        conditions=json.loads(attributes.get("conditions", "{}")),
        integer_names=tuple(json.loads(attributes.get("integers", "[]"))),
        left_open=LeftOpen.from_dataset(tree["left_open"].dataset) if "left_open" in tree.children else None,
    )
