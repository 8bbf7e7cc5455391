"""`Draws`: samples of a Gibbs posterior, with what is needed to judge them."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import DTypeLike

from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from .ancestry import allowance, ancestral_size
from .convergence import bulk_size, certain, error_of_mean, split_rhat
from .draws_files import data_frame, load_tree, parameter, save_tree
from .draws_tree import fields_of_tree, tree_of_fields
from .left_open import LeftOpen
from .levels import shares_in_words
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
        left_open: what the simulations leave open of the answer; None where the cost cannot tell, and of draws out of a
            stack.
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
    left_open: LeftOpen | None = None

    def __repr__(self) -> str:
        chains, draws, dim = self.theta.shape
        how = f"by {self.sampler}, beta {self.beta:g}{self._known}"
        return f"Draws({chains} chains x {draws} draws of {dim} parameters {how})"

    def _repr_html_(self) -> str:
        caption = f"{len(self)} draws by {self.sampler} at beta {self.beta:g}{self._known}, mean cost "
        caption += f"{self.cost.mean():.4g}"
        header, *rows = self.table()
        return html_table(caption, header, rows, (*self.integer_lines, *self.outcome.messages))

    def table(self) -> list[list[str]]:
        """The table of `summary` as texts: a header, and a row for each parameter; R-hat and ESS are the last."""
        columns = [
            ["parameter", *self.names],
            *([f"{100 * p:.0f} %", *(f"{value:.4g}" for value in self.quantiles((p,))[0])] for p in (0.05, 0.5, 0.95)),
            ["R-hat", *(f"{value:.3f}" for value in self.rhat)],
            ["ESS", *(f"{value:.0f}" for value in self.ess_bulk)],
        ]
        if self.left_open is not None:
            columns.insert(4, ["± fit", *(f"{value:.2g}" for value in self.fit_errors)])
        return [list(row) for row in zip(*columns, strict=True)]

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

    def probability_errors(self, name: str) -> dict[int, float]:
        """Standard errors of `probabilities`: of what the simulations leave open, and of the number of draws.

        NaN where it is not known what the simulations leave open.

        Raises:
            KeyError: no integer parameter has this name.
        """
        found = {}
        for value in self.probabilities(name):
            drawn = np.asarray(self[name]) == value
            found[value] = float(np.hypot(self.fit_error(drawn), self.standard_error(drawn)))
        return found

    @property
    def integer_lines(self) -> list[str]:
        """The probabilities of every integer parameter's values, in a line each."""
        return [
            f"probability that {name} is {shares_in_words(self.probabilities(name), self.probability_errors(name))}"
            for name in self.integer_names
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

    @cached_property
    def fit_errors(self) -> Float[np.ndarray, " dim"]:
        """`fit_error` of every parameter."""
        if self.left_open is None:
            return np.full(self.theta.shape[-1], np.nan)
        return self.left_open.error_of_means(self.flat)

    def fit_error(self, values: Float[np.ndarray, "chain draw"] | Bool[np.ndarray, "chain draw"]) -> float:
        """Standard error, of the mean of a function of the draws, that more simulations would make smaller.

        By how the mean would differ if the members of the cost, which learned from different parts of the simulations,
        were asked one by one (see `LeftOpen`). What `standard_error` says of the number of draws comes on top. NaN
        where it is not known.

        Args:
            values: of the function at every draw, (chain, draw).

        Raises:
            ValueError: values have another shape.

        Example:
            >>> share = np.mean(draws["growth"] > 1)
            >>> error = draws.fit_error(draws["growth"] > 1)
        """
        found = self._of_every_draw(values)
        if self.left_open is None:
            return float("nan")
        return float(self.left_open.error_of_means(found.reshape(-1, 1))[0])

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
        return error_of_mean(self._of_every_draw(values), self.statistics.get("ancestor"))

    def _of_every_draw(self, values: np.ndarray) -> Float[np.ndarray, "chain draw"]:
        found = np.asarray(values, np.float64)
        if found.shape != self.cost.shape:
            raise ValueError(f"values has shape {found.shape}, expected one number a draw: {self.cost.shape}.")
        return found

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
        """A plain table of the parameters, and the probabilities of integers.

        Quantiles; what the simulations leave open of the mean (± fit); R-hat and bulk ESS.
        """
        table = self.table()
        width = max(len(row[0]) for row in table)
        least = {"R-hat": 7, "ESS": 7, "± fit": 8}
        widths = [least.get(title, 10) for title in table[0][1:]]
        lines = [
            " ".join([f"{name:<{width}}", *(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))])
            for name, *cells in table
        ]
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
        return tree_of_fields({each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def from_datatree(cls, tree: "xr.DataTree") -> "Draws":
        """The draws that `to_datatree` wrote, with their diagnostics.

        Args:
            tree: from `to_datatree`, or from `xarray.open_datatree` of a file with it.

        Raises:
            ValueError: a tree of another program.
        """
        return cls(**fields_of_tree(tree))
