"""`StackedDraws`: draws of the Gibbs posteriors of many observations at several inverse temperatures."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np
from jaxtyping import Bool, Float, Int

from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from .ancestry import allowance, ancestral_size
from .convergence import bulk_size, certain, split_rhat
from .draws import ESS_LIMIT, RHAT_LIMIT, Draws
from .draws_files import WrongTree, data_frame, load_tree, parameter, save_tree, stacked_parameters, whole_numbers
from .sampler import advice_of
from .stacked_left_open import StackedLeftOpen

if TYPE_CHECKING:
    import xarray as xr
    from pandas import DataFrame
else:
    # Its import, with pandas, takes half a second.
    xr = lazy_loader.load("xarray")

_HEADER = ("observation", "beta", "mean cost", "± fit / sd", "least ESS", "max R-hat")


@dataclass(frozen=True, eq=False, repr=False)
class StackedDraws:
    """Equal-weight draws of m observations at b betas, each posterior by itself.

    Attributes:
        theta: (m, b, chain, draw, dim).
        cost: (m, b, chain, draw), units of the distance.
        names: of the parameters.
        betas: inverse temperatures (b,), ascending, 1 / units of the distance.
        x_o: the observations (m, *x_shape).
        log_evidence: log of Z(beta) / Z(0) of each chain's population, (m, b, chain).
        acceptance: share of the sampler's last moves at each beta that were accepted, (m, b, chain).
        sampler: name of the method.
        seed: of the run.
        seconds: "compile" and "run", of all.
        stages: of each chain's population, (m, chain).
        messages: what the sampler found wrong, for each observation and beta: a tuple of texts; empty for most.
        conditions: known conditions (m, c).
        condition_names: of their columns.
        prior_outcome: what is wrong with all of them alike.
        integer_names: of the parameters that are integers.
        ancestor: number of the draw of the prior that each draw descends from, (m, b, chain, draw); None where it was
            not kept.
        left_open: what the simulations leave open of each answer; None of an exact cost, and of draws out of a file of
            an earlier version.
    """

    theta: Float[np.ndarray, "m b chain draw dim"]
    cost: Float[np.ndarray, "m b chain draw"]
    names: tuple[str, ...]
    betas: Float[np.ndarray, " b"]
    x_o: np.ndarray
    log_evidence: Float[np.ndarray, "m b chain"]
    acceptance: Float[np.ndarray, "m b chain"]
    stages: Int[np.ndarray, "m chain"]
    sampler: str
    seed: int
    seconds: dict[str, float]
    messages: dict[tuple[int, int], tuple[str, ...]]
    conditions: Float[np.ndarray, "m c"]
    condition_names: tuple[str, ...] = ()
    prior_outcome: Outcome = field(default_factory=Outcome)
    integer_names: tuple[str, ...] = ()
    ancestor: Int[np.ndarray, "m b chain draw"] | None = None
    left_open: StackedLeftOpen | None = None

    def __repr__(self) -> str:
        m, b, chains, draws, dim = self.theta.shape
        return f"StackedDraws({m} observations x {b} betas x {chains} chains x {draws} draws of {dim} parameters)"

    def __len__(self) -> int:
        return len(self.theta)

    def _repr_html_(self, most: int = 10) -> str:
        b, rows = len(self.betas), self._rows(most)
        caption = f"{len(self)} observations x {b} betas, parameters {', '.join(self.names)}"
        more = [f"... {len(self) * b - most} more"] if len(self) * b > most else []
        return html_table(caption, _HEADER, rows, [*more, *self.outcome.messages])

    def __getitem__(self, name: str) -> Float[np.ndarray, "m b chain draw *vector"]:
        """The draws of one parameter: (m, b, chain, draw), or (m, b, chain, draw, k) of a vector-valued one.

        Raises:
            KeyError: there is no parameter of that name.
        """
        return parameter(self.theta, self.names, name)

    # By name only; the draws of one observation are `draws(i)`.
    __iter__ = None

    @cached_property
    def rhat(self) -> Float[np.ndarray, "m b dim"]:
        """Rank-normalised split R-hat of each posterior; see `Draws.rhat`."""
        return np.where(certain(self.theta, self.names, self.integer_names), 1.0, self._by_parameter(split_rhat))

    @cached_property
    def ess_bulk(self) -> Float[np.ndarray, "m b dim"]:
        """Bulk effective sample size of each posterior; see `Draws.ess_bulk`."""
        chains, ancestral = self._ess_of_chains, self.ess_ancestral
        return np.where(np.isnan(ancestral), chains, np.minimum(chains, ancestral))

    @cached_property
    def _ess_of_chains(self) -> Float[np.ndarray, "m b dim"]:
        """Effective sample sizes by the chains alone."""
        whole = float(self.theta.shape[2] * self.theta.shape[3])
        return np.where(certain(self.theta, self.names, self.integer_names), whole, self._by_parameter(bulk_size))

    @cached_property
    def ess_ancestral(self) -> Float[np.ndarray, "m b dim"]:
        """Effective sample size by the ancestors of each posterior's draws; see `Draws.ess_ancestral`."""
        m, b, _, _, dim = self.theta.shape
        if self.ancestor is None:
            return np.full((m, b, dim), np.nan)
        sizes = [ancestral_size(self.theta[i, j], self.ancestor[i, j]) for i, j in np.ndindex(m, b)]
        return np.reshape(sizes, (m, b, dim))

    @cached_property
    def suspect(self) -> Bool[np.ndarray, "m b"]:
        """Which posteriors have chains that disagree, too few independent draws, or a message of the sampler."""
        least = min(ESS_LIMIT, 0.5 * self.theta.shape[2] * self.theta.shape[3])
        bad = np.any(np.nan_to_num(self.rhat, nan=0.0, posinf=np.inf) > RHAT_LIMIT, axis=2)
        bad |= np.any(np.nan_to_num(self._ess_of_chains, nan=np.inf) < least, axis=2)
        if self.ancestor is not None:
            fewest = np.nan_to_num(self.ess_ancestral, nan=np.inf).min(axis=2)
            factor = [allowance(self.ancestor[i, j], len(self.names)) for i, j in np.ndindex(bad.shape)]
            bad |= fewest * np.reshape(factor, bad.shape) < least
        bad |= ~np.all(np.isfinite(self.theta), axis=(2, 3, 4))
        for place in self.messages:
            bad[place] = True
        return bad

    @cached_property
    def outcome(self) -> Outcome:
        """How many posteriors look wrong, and which; `draws(i, j).outcome` says what is wrong with one."""
        texts = list(self.prior_outcome.messages)
        where = np.argwhere(self.suspect)
        if len(where):
            some = "; ".join(f"observation {i} at beta {self.betas[j]:g}" for i, j in where[:5])
            texts.append(
                f"{len(where)} of {self.suspect.size} posteriors are not well sampled ({some}"
                f"{'; ...' if len(where) > 5 else ''}): .draws(i, j).outcome says why. Ask for more draws, or "
                f"{advice_of(self.sampler).chains_disagree}."
            )
        if self.left_open is not None:
            texts += self.left_open.outcome(self.betas, self.theta.shape[-1]).messages
        return Outcome(tuple(texts))

    @cached_property
    def fit_errors(self) -> Float[np.ndarray, "m b dim"]:
        """Standard errors of posterior means that more simulations would make smaller; see `Draws.fit_errors`.

        NaN where they are not known.
        """
        m, b, *_, dim = self.theta.shape
        if self.left_open is None:
            return np.full((m, b, dim), np.nan)
        flat = self.theta.reshape(m, b, -1, dim)
        found = [self.left_open(i, j, dim).error_of_means(flat[i, j]) for i, j in np.ndindex(m, b)]
        return np.reshape(found, (m, b, dim))

    def draws(self, i: int, j: int = -1) -> Draws:
        """The draws of observation `i` at the `j`-th beta (the highest if not given)."""
        j = int(np.arange(len(self.betas))[j])
        i = int(np.arange(len(self))[i])
        chains, per_chain = self.theta.shape[2:4]
        evidence = self.log_evidence[i, j].astype(np.float64)
        top = evidence.max()
        left_open = None if self.left_open is None else self.left_open(i, j, self.theta.shape[-1])
        open_by = () if left_open is None else left_open.outcome.messages
        return Draws(
            theta=self.theta[i, j],
            cost=self.cost[i, j],
            names=self.names,
            beta=float(self.betas[j]),
            x_o=self.x_o[i],
            sampler=self.sampler,
            seed=self.seed,
            statistics={
                "log_evidence": float(top + np.log(np.mean(np.exp(evidence - top)))),
                "log_evidence_per_population": self.log_evidence[i, j],
                **({} if self.ancestor is None else {"ancestor": self.ancestor[i, j]}),
            },
            seconds={name: value / (len(self) * len(self.betas)) for name, value in self.seconds.items()},
            sampler_outcome=Outcome((*self.prior_outcome.messages, *open_by, *self.messages.get((i, j), ()))),
            conditions=dict(zip(self.condition_names, self.conditions[i].tolist(), strict=True)),
            integer_names=self.integer_names,
            left_open=left_open,
        )

    def first(self, m: int) -> "StackedDraws":
        """The draws of the first `m` observations."""
        rowwise = ("theta", "cost", "x_o", "log_evidence", "acceptance", "stages", "conditions", "ancestor")
        part = {name: None if (value := getattr(self, name)) is None else value[:m] for name in rowwise}
        left_open = None if self.left_open is None else self.left_open.first(m)
        return replace(
            self,
            **part,
            left_open=left_open,
            messages={place: text for place, text in self.messages.items() if place[0] < m},
        )

    def _rows(self, most: int) -> list[list[str]]:
        """The table of the first posteriors."""
        first = self.first(-(-most // len(self.betas)))
        with np.errstate(divide="ignore", invalid="ignore"):
            open_by = (first.fit_errors / first.theta.std(axis=(2, 3))).max(axis=-1)
        return [
            [
                str(i),
                f"{self.betas[j]:.4g}",
                f"{first.cost[i, j].mean():.4g}",
                f"{open_by[i, j]:.2g}" if np.isfinite(open_by[i, j]) else "",
                f"{first.ess_bulk[i, j].min():.0f}",
                f"{first.rhat[i, j].max():.3f}",
            ]
            for i, j in list(np.ndindex(len(first), len(self.betas)))[:most]
        ]

    def summary(self, most: int = 10) -> str:
        """A plain table of the first posteriors, and what is wrong.

        Mean cost; the largest standard error that more simulations would make smaller, in posterior standard deviations
        of its parameter (± fit / sd); least ESS and largest R-hat.
        """
        widths = [max(11, len(name) + 1) for name in _HEADER]
        table = [_HEADER, *self._rows(most)]
        lines = ["".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        if (left := len(self) * len(self.betas) - most) > 0:
            lines.append(f"... {left} more")
        return "\n".join([*lines, *self.outcome.messages])

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with one row a draw: observation, beta, chain, draw, the parameters, cost.

        Raises:
            ImportError: pandas is not installed.
            ValueError: a parameter has the name of another column.
        """
        m, b, chains, draws = self.cost.shape
        columns = {
            "observation": np.arange(m)[:, None, None, None],
            "beta": self.betas.reshape(b, 1, 1),
            "chain": np.arange(chains)[:, None],
            "draw": np.arange(draws),
        }
        return data_frame(columns, self.theta, self.names, self.cost)

    def save(self, path: str | Path) -> None:
        """Writes the draws as a Zarr folder; see `Draws.save`."""
        save_tree(self.to_datatree(), path)

    @classmethod
    def load(cls, path: str | Path) -> "StackedDraws":
        """The draws that `save` (or `genbayes sample --observations`) wrote; see `Draws.load`."""
        return load_tree(path, cls.from_datatree)

    def to_datatree(self) -> "xr.DataTree":
        """Groups posterior, sample_stats and observed_data with the dimensions observation, beta, chain, draw.

        `from_datatree` reads it back, also after `to_zarr`.
        """
        place, chain = ("observation", "beta"), ("observation", "beta", "chain")
        coords: dict[str, Any] = {"beta": self.betas}
        attributes = {
            "inference_library": "genbayes",
            "stacked": 1,
            "sampler": self.sampler,
            "seed": self.seed,
            "parameters": json.dumps(self.names),
            "condition_names": json.dumps(self.condition_names),
            "seconds": json.dumps(self.seconds),
            "messages": json.dumps([[*where, *texts] for where, texts in self.messages.items()]),
            "prior_messages": json.dumps(self.prior_outcome.messages),
            "integers": json.dumps(self.integer_names),
        }
        values = {name: ((*chain, "draw"), self.theta[..., i]) for i, name in enumerate(self.names)}
        for name in self.integer_names:
            values[name] = ((*chain, "draw"), whole_numbers(values[name][1]))
        stats: dict[str, Any] = {
            "cost": ((*chain, "draw"), self.cost),
            "log_evidence": (chain, self.log_evidence),
            "acceptance": (chain, self.acceptance),
            "suspect": (place, self.suspect),
            "stages": (("observation", "chain"), self.stages),
        }
        if self.ancestor is not None:
            stats["ancestor"] = ((*chain, "draw"), self.ancestor)
        axes = ["observation", *(f"x_dim_{i}" for i in range(self.x_o.ndim - 1))]
        observed = {"x_o": (axes, self.x_o), "conditions": (["observation", "condition"], self.conditions)}
        more = {} if self.left_open is None else {"left_open": self.left_open.to_dataset()}
        return xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset(values, coords=coords, attrs=attributes),
                "sample_stats": xr.Dataset(stats, coords=coords),
                "observed_data": xr.Dataset(observed),
                **more,
            }
        )

    @classmethod
    def from_datatree(cls, tree: "xr.DataTree") -> "StackedDraws":
        """The draws that `to_datatree` wrote.

        Raises:
            ValueError: a tree of another program, or of the draws of one posterior.
        """
        if "posterior" not in tree.children or not tree["posterior"].attrs.get("stacked"):
            raise WrongTree(
                "the tree was not written by StackedDraws.to_datatree: for the draws of one posterior use "
                "Draws.from_datatree."
            )
        attributes, stats = tree["posterior"].attrs, tree["sample_stats"]
        names = tuple(json.loads(attributes["parameters"]))
        return cls(
            theta=stacked_parameters(tree, names),
            cost=np.asarray(stats["cost"]),
            names=names,
            betas=np.asarray(tree["posterior"]["beta"]),
            x_o=np.asarray(tree["observed_data"]["x_o"]),
            log_evidence=np.asarray(stats["log_evidence"]),
            acceptance=np.asarray(stats["acceptance"]),
            stages=np.asarray(stats["stages"]),
            sampler=str(attributes["sampler"]),
            seed=int(attributes["seed"]),
            seconds=json.loads(attributes["seconds"]),
            messages={(i, j): tuple(texts) for i, j, *texts in json.loads(attributes["messages"])},
            conditions=np.asarray(tree["observed_data"]["conditions"]),
            condition_names=tuple(json.loads(attributes["condition_names"])),
            prior_outcome=Outcome(tuple(json.loads(attributes["prior_messages"]))),
            integer_names=tuple(json.loads(attributes.get("integers", "[]"))),
            ancestor=np.asarray(stats["ancestor"]) if "ancestor" in stats.data_vars else None,
            left_open=StackedLeftOpen.from_dataset(tree["left_open"].dataset) if "left_open" in tree.children else None,
        )

    def _by_parameter(self, diagnostic: Any) -> np.ndarray:
        """A diagnostic of chains (chain, draw, columns) -> (columns,), of every parameter of every posterior."""
        m, b, chains, draws, dim = self.theta.shape
        # Blocks bound the memory: the intermediate arrays of many thousand posteriors would be many times the draws.
        block = max(1, 2_000_000 // (b * chains * draws * dim))
        parts = [
            diagnostic(np.moveaxis(self.theta[k : k + block], (2, 3), (0, 1)).reshape(chains, draws, -1))
            for k in range(0, m, block)
        ]
        return np.concatenate(parts).reshape(m, b, dim)
