"""`Draws`: samples of a Gibbs posterior, with what is needed to judge them."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import DTypeLike
from numpyro.diagnostics import effective_sample_size

from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from .ancestry import allowance, ancestral_size, effective_size
from .convergence import bulk_size, split_rhat
from .draws_files import WrongTree, data_frame, load_tree, parameter, save_tree, stacked_parameters, whole_numbers
from .sampler import advice_of

if TYPE_CHECKING:
    import xarray as xr
    from pandas import DataFrame
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")

# Vehtari et al. 2021: beyond 1.01 chains have not mixed; 1.05 leaves room for the noise of short chains.
RHAT_LIMIT = 1.05
ESS_LIMIT = 100


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Equal-weight draws of p(theta | x_o) and their diagnostics.

    `draws["growth"]` is one parameter's, `len(draws)` their number over all chains, and numpy takes them as one array
    (chain x draw, dim).

    Attributes:
        theta: (chain, draw, dim).
        cost: (chain, draw), the cost of each draw as the posterior's cost model gives it, units of the distance.
        names: of the parameters.
        beta: inverse temperature, 1 / units of the distance.
        x_o: the observation.
        sampler: name of the method.
        seed: of the run.
        statistics: what the sampler reports.
        seconds: "compile" and "run".
        sampler_outcome: what the sampler itself found wrong.
        conditions: known conditions of the observation, and parameters that were held at values, by name.
        integer_names: of the parameters that are integers.
    """

    theta: Float[np.ndarray, "chain draw dim"]
    cost: Float[np.ndarray, "chain draw"]
    names: tuple[str, ...]
    beta: float
    x_o: np.ndarray
    sampler: str
    seed: int
    statistics: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sampler_outcome: Outcome = field(default_factory=Outcome)
    conditions: dict[str, float] = field(default_factory=dict)
    integer_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        chains, draws, dim = self.theta.shape
        how = f"by {self.sampler}, beta {self.beta:g}{self._known}"
        return f"Draws({chains} chains x {draws} draws of {dim} parameters {how})"

    def _repr_html_(self) -> str:
        rows = [
            [name, *(f"{value:.4g}" for value in values), f"{rhat:.3f}", f"{size:.0f}"]
            for name, values, rhat, size in zip(self.names, self.quantiles().T, self.rhat, self.ess_bulk, strict=True)
        ]
        caption = f"{len(self)} draws by {self.sampler} at beta {self.beta:g}{self._known}, mean cost "
        caption += f"{self.cost.mean():.4g}"
        header = ("parameter", "5 %", "50 %", "95 %", "R-hat", "ESS")
        return html_table(caption, header, rows, (*self.integer_lines, *self.outcome.messages))

    def __getitem__(self, name: str) -> Float[np.ndarray, "chain draw *vector"]:
        """The draws of one parameter: (chain, draw), or (chain, draw, k) of a vector-valued one.

        Raises:
            KeyError: there is no parameter of that name.
        """
        return parameter(self.theta, self.names, name)

    # By name only: without this, a loop would ask for the parameters 0, 1, 2, ...
    __iter__ = None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """All draws of all chains, (chain x draw, dim)."""
        return np.array(self.flat, dtype=dtype, copy=copy)

    @property
    def _known(self) -> str:
        """The known conditions and the parameters that were held, in words."""
        return "".join(f", {name} = {value:g}" for name, value in self.conditions.items())

    @property
    def flat(self) -> Float[np.ndarray, "draws dim"]:
        """All draws of all chains."""
        return self.theta.reshape(-1, self.theta.shape[-1])

    def __len__(self) -> int:
        return self.theta.shape[0] * self.theta.shape[1]

    @cached_property
    def rhat(self) -> Float[np.ndarray, " dim"]:
        """Rank-normalised split R-hat (Vehtari et al. 2021): the larger of the bulk's and of the folded draws'.

        NaN with fewer than 4 draws a chain; infinite where chains are stuck at different values; 1 of an integer of
        which all draws have one value.
        """
        return np.where(certain(self.theta, self.names, self.integer_names), 1.0, split_rhat(self.theta))

    @cached_property
    def ess_bulk(self) -> Float[np.ndarray, " dim"]:
        """Effective sample size of the bulk (rank-normalised, split chains); at most the number of draws.

        SMC leaves copies of a particle side by side, where this counts them as correlated draws of a chain. Of its
        draws it is no larger than `ess_ancestral`. An integer of which all draws have one value counts every draw.
        """
        chains, ancestral = self._ess_of_chains, self.ess_ancestral
        return np.where(np.isnan(ancestral), chains, np.minimum(chains, ancestral))

    @cached_property
    def _ess_of_chains(self) -> Float[np.ndarray, " dim"]:
        """Effective sample size by the chains alone."""
        return np.where(certain(self.theta, self.names, self.integer_names), float(len(self)), bulk_size(self.theta))

    def probabilities(self, name: str) -> dict[int, float]:
        """The posterior probability of every value of an integer parameter that was drawn, in ascending order.

        Raises:
            KeyError: no integer parameter has this name.
        """
        if name not in self.integer_names:
            raise KeyError(f"{name!r} is none of the integer parameters {list(self.integer_names)}.")
        values, counts = np.unique(np.asarray(self[name], np.float64), return_counts=True)
        return {int(value): float(share) for value, share in zip(values, counts / len(self), strict=True)}

    @property
    def integer_lines(self) -> list[str]:
        """The probabilities of every integer parameter's values, in a line each."""
        return [
            f"probability that {name} is {_shares_in_words(self.probabilities(name))}" for name in self.integer_names
        ]

    @cached_property
    def ess_ancestral(self) -> Float[np.ndarray, " dim"]:
        """Effective sample size by the draws of the prior that SMC's particles descend from; NaN of other samplers.

        The least of each parameter's mean and of its shares below nine quantiles: it tells how well the shares of
        several modes are known, which no chain by itself does (Lee and Whiteley 2018).
        """
        ancestor = self.statistics.get("ancestor")
        if ancestor is None:
            return np.full(self.theta.shape[-1], np.nan)
        return ancestral_size(self.theta, np.asarray(ancestor))

    def standard_error(self, values: Float[np.ndarray, "chain draw"] | Bool[np.ndarray, "chain draw"]) -> float:
        """Monte Carlo standard error of the mean of a function of the draws, such as the share of a mode.

        Args:
            values: of the function at every draw, (chain, draw).

        Raises:
            ValueError: values have another shape.

        Example:
            >>> share = np.mean(draws["growth"] > 1)
            >>> error = draws.standard_error(draws["growth"] > 1)
        """
        found = np.asarray(values, np.float64)
        if found.shape != self.cost.shape:
            raise ValueError(f"values has shape {found.shape}, expected one number a draw: {self.cost.shape}.")
        ancestor = self.statistics.get("ancestor")
        with np.errstate(divide="ignore", invalid="ignore"):
            size = min(float(np.nan_to_num(effective_sample_size(found), nan=len(self))), len(self))
        if ancestor is not None:
            size = np.fmin(size, effective_size(found.reshape(-1, 1), np.asarray(ancestor))[0])
        return float(found.std() / np.sqrt(size))

    @cached_property
    def outcome(self) -> Outcome:
        """What is wrong with the draws, and the remedy."""
        messages = list(self.sampler_outcome.messages)
        if not np.all(np.isfinite(self.theta)):
            messages.append("Some draws are not finite: the cost or the prior density is not; check the cost at them.")
        worst = int(np.argmax(np.nan_to_num(self.rhat, nan=0.0, posinf=np.inf)))
        if self.rhat[worst] > RHAT_LIMIT:
            messages.append(
                f"Chains disagree: R-hat of {self.names[worst]} is {self.rhat[worst]:.3g}, above {RHAT_LIMIT}. Ask "
                "for more draws first; if it stays, the posterior has several modes that the chains share unequally: "
                f"{advice_of(self.sampler).chains_disagree}, or a smaller beta."
            )
        fewest = int(np.argmin(np.nan_to_num(self.ess_bulk, nan=np.inf)))
        least = min(ESS_LIMIT, 0.5 * len(self))
        size = self.ess_ancestral[fewest]
        if np.isfinite(size) and size * allowance(np.asarray(self.statistics["ancestor"]), len(self.names)) < least:
            messages.append(
                f"The shares of the draws along {self.names[fewest]} are uncertain, by up to {0.5 / np.sqrt(size):.2g} "
                f"(standard error): they descend from so few draws of the prior that they are worth only {size:.0f} "
                f"independent ones. {advice_of(self.sampler).shares_uncertain[:1].upper()}"
                f"{advice_of(self.sampler).shares_uncertain[1:]}."
            )
        elif np.nanmin(self._ess_of_chains, initial=np.inf) < least:
            fewest = int(np.nanargmin(self._ess_of_chains))
            messages.append(
                f"The {len(self)} draws are worth only {self.ess_bulk[fewest]:.0f} independent ones for "
                f"{self.names[fewest]}: ask for more draws, or {advice_of(self.sampler).few_independent}."
            )
        return Outcome(tuple(messages))

    def quantiles(self, probabilities: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Float[np.ndarray, "quantiles dim"]:
        """Quantiles of each parameter."""
        return np.quantile(self.flat, probabilities, axis=0)

    def summary(self) -> str:
        """A plain table: 5, 50, 95 % quantiles, R-hat and bulk ESS of each parameter; probabilities of integers."""
        width = max(len("parameter"), *(len(name) for name in self.names))
        lines = [f"{'parameter':<{width}} {'5 %':>10} {'50 %':>10} {'95 %':>10} {'R-hat':>7} {'ESS':>7}"]
        for name, (low, middle, high), rhat, size in zip(
            self.names, self.quantiles().T, self.rhat, self.ess_bulk, strict=True
        ):
            lines.append(f"{name:<{width}} {low:>10.4g} {middle:>10.4g} {high:>10.4g} {rhat:>7.3f} {size:>7.0f}")
        where = f"at beta {self.beta:g}{self._known}"
        lines.append(f"mean cost {self.cost.mean():.4g} {where}; {len(self)} draws by {self.sampler}")
        return "\n".join([*lines, *self.integer_lines, *self.outcome.messages])

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with one row a draw: chain, draw, the parameters, cost.

        Raises:
            ImportError: pandas is not installed.
            ValueError: a parameter is called "chain", "draw" or "cost".
        """
        chains, draws = self.cost.shape
        columns = {"chain": np.arange(chains)[:, None], "draw": np.arange(draws)}
        return data_frame(columns, self.theta, self.names, self.cost)

    def save(self, path: str | Path) -> None:
        """Writes the draws with their diagnostics, as a Zarr folder that xarray and ArviZ open too; see `to_datatree`.

        Args:
            path: of the folder, such as "draws.zarr"; earlier draws there are replaced.

        Raises:
            FileExistsError: something else is there.
        """
        save_tree(self.to_datatree(), path)

    @classmethod
    def load(cls, path: str | Path) -> "Draws":
        """The draws that `save` (or `genbayes sample`) wrote.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: it holds something else, or is damaged.

        Example:
            >>> draws.save("draws.zarr")
            >>> gb.Draws.load("draws.zarr").summary()
        """
        return load_tree(path, cls.from_datatree)

    def to_datatree(self) -> "xr.DataTree":
        """The draws in the ArviZ schema (posterior, sample_stats, observed_data), and a group sampler_statistics.

        A scalar parameter is a variable (chain, draw), an integer one of whole numbers; `arviz.from_...` is not needed,
        ArviZ reads the tree as it is. `from_datatree` reads it back, also after `to_zarr`.
        """
        coords = {"chain": np.arange(self.theta.shape[0]), "draw": np.arange(self.theta.shape[1])}
        attributes = {
            "inference_library": "genbayes",
            "sampler": self.sampler,
            "beta": self.beta,
            "seed": self.seed,
            # As JSON: files do not keep the order of variables, and some formats have no empty lists.
            "parameters": json.dumps(self.names),
            "seconds": json.dumps(self.seconds),
            "sampler_messages": json.dumps(self.sampler_outcome.messages),
            "conditions": json.dumps(self.conditions),
            "integers": json.dumps(self.integer_names),
        }
        posterior = xr.Dataset(
            {
                name: (
                    ("chain", "draw"),
                    whole_numbers(self.theta[..., i]) if name in self.integer_names else self.theta[..., i],
                )
                for i, name in enumerate(self.names)
            },
            coords=coords,
            attrs=attributes,
        )
        stats: dict[str, Any] = {"cost": (("chain", "draw"), self.cost)}
        axes = [f"x_dim_{i}" for i in range(self.x_o.ndim)]
        return xr.DataTree.from_dict(
            {
                "posterior": posterior,
                "sample_stats": xr.Dataset(stats, coords=coords),
                "observed_data": xr.Dataset({"x_o": (axes, self.x_o)}),
                "sampler_statistics": xr.Dataset(
                    {
                        name: ([f"{name}_dim_{i}" for i in range(np.ndim(value))], np.asarray(value))
                        for name, value in self.statistics.items()
                    }
                ),
            }
        )

    @classmethod
    def from_datatree(cls, tree: "xr.DataTree") -> "Draws":
        """The draws that `to_datatree` wrote, with their diagnostics.

        Args:
            tree: from `to_datatree`, or from `xarray.open_datatree` of a file with it.

        Raises:
            ValueError: a tree of another program.
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
        return cls(
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
        )


def certain(
    theta: Float[np.ndarray, "*batch chain draw dim"], names: tuple[str, ...], integers: tuple[str, ...]
) -> Bool[np.ndarray, "*batch dim"]:
    """Which parameters are integers that have one value in all draws (..., chain, draw, dim): all chains agree."""
    return np.isin(names, integers) & (np.ptp(theta, axis=(-3, -2)) == 0)


def _shares_in_words(shares: dict[int, float], most: int = 8) -> str:
    """The values of greatest probability in ascending order, and what is left."""
    chosen = sorted(sorted(shares, key=lambda value: -shares[value])[:most])
    parts = [f"{value}: {100 * shares[value]:.3g} %" for value in chosen]
    rest = 1 - sum(shares[value] for value in chosen)
    return ", ".join(parts) + (f"; {len(shares) - most} others: {100 * rest:.2g} %" if len(shares) > most else "")
