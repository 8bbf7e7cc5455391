"""Support: could the simulator have made the observation, and has the network seen the like of it?"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.spatial import KDTree

from ..costs.cost import Cost, Observed
from ..costs.fit_general import blurred, contaminated, spread_of_outputs
from ..costs.forms import CostForm, NetworkForm
from ..costs.known_parameters import rows_as_known
from ..distances.gaps import has_gaps
from ..distances.unequal_sets import all_trials
from ..learning.embeddings import SetEmbedding
from ..runtime.compiling import compiled, on_device
from ..simulations.rows import Simulations
from .output_space import Kind, OutputSpace, as_vectors, output_kind, same_trials, usual_trials

# p-value up to which an observation counts as unlike the outputs.
LEVEL = 0.05
NEIGHBOURS = 5
# Enough held-out rows for a p-value of 0.001, and for one set of them to have a false-alarm rate of 4.3 to 5.7 %.
MOST_HELD_OUT = 1000
MOST_REFERENCE = 5000
# Outputs whose parameters the least cost is sought among: the nearest ones, of the observation as of held-out outputs.
# All parameters would take minutes where the cost of many coordinates is an integral, and the same one would be least.
MOST_PARAMETERS = 64
LEAST_SIMULATIONS = 100
# Least cost over the 95 % quantile of held-out outputs', from which on nothing is a compromise.
HOPELESS = 100.0
_AT_ONCE = 64


@dataclass(frozen=True)
class Support:
    """Where an observation stands among outputs that the simulator made at draws of the prior.

    Attributes:
        p_value: share of held-out outputs that are at least as unusual, by both scores together.
        isolation: the same by one score: distance to the nearest simulated outputs, relative to theirs.
        least_cost: the same by the other: the least cost over parameters; small where no parameter comes near.
        cost: the least cost for the observation, in units of the distance.
        usual_cost: that of held-out outputs, their median and 95 % quantile.
        theta: the parameter of least cost among those tried (dim,).
        training: share of a general network's training targets that reach at least as far out; None where
            the cost holds for any observation.
        held_out: number of held-out outputs, which bounds the p-values from below.
    """

    p_value: float
    isolation: float
    least_cost: float
    cost: float
    usual_cost: tuple[float, float]
    theta: Float[np.ndarray, " dim"]
    training: float | None
    held_out: int

    @property
    def inside(self) -> bool:
        """Whether nothing says that the simulator could not have made the observation."""
        return self.p_value > LEVEL

    @property
    def hopeless(self) -> bool:
        """Whether the observation is so far from what any parameter makes that nothing is a compromise."""
        return self.cost > HOPELESS * self.usual_cost[1]

    def summary(self) -> str:
        """The p-values in one line."""
        return (
            f"support: p = {self.p_value:.3g} (isolation {self.isolation:.3g}, least cost {self.least_cost:.3g}) "
            f"against {self.held_out} held-out outputs"
        )


@dataclass(frozen=True, eq=False)
class SupportReference:
    """What observations are compared with; made once, it judges any number of them.

    The test is conformal (Vovk, Gammerman, Shafer 2005): an observation that is one more output at a draw of the prior
    has every rank among the held-out outputs with the same probability, whatever the scores are. Each output's scores
    become ranks among all, the observation included, the least of its ranks is its joint score, and the rank of that
    the p-value: 5 % of fresh outputs have one of at most 0.05.

    Attributes:
        cost: whose least value over parameters is one of the two scores.
        kind: how outputs are read.
        trials: of one simulated set, the median where their number varies; 0 where outputs are no sets.
        space: in which outputs are compared.
        tree: of the simulated outputs in it, with the known conditions as further coordinates.
        usual: distance of each of them to its fifth neighbour.
        theta: parameters of the simulated outputs; the least cost is sought among those of the nearest outputs.
        scores: of the held-out outputs (m, 2): isolation and least cost.
        training: how far out a general network's training targets lay; None for other costs.
        conditions_scale: mean and spread of the known conditions.
        missing: which values of the observations are missing (*x_shape); None for whole ones.
        cut: whether simulated sets were cut to the size of an observation.
    """

    cost: Cost
    kind: Kind
    trials: int
    space: OutputSpace
    tree: KDTree
    usual: Float[np.ndarray, " r"]
    theta: Float[np.ndarray, "t dim"]
    scores: Float[np.ndarray, "m 2"]
    training: Float[np.ndarray, " targets"] | None
    conditions_scale: Float[np.ndarray, "2 c"] = field(default_factory=lambda: np.zeros((2, 0)))
    missing: Bool[np.ndarray, "*x_shape"] | None = None
    cut: bool = False

    @classmethod
    def of(
        cls,
        cost: Cost,
        simulations: Simulations,
        *,
        kind: str | None = None,
        seed: int = 0,
        x_o: Observed | None = None,
    ) -> "SupportReference":
        """Splits the simulations into those that outputs are compared with and held-out ones.

        Args:
            cost: fitted, or exact.
            simulations: at draws of the prior; rows that refinement added at posterior draws are left out.
            kind: "coordinates", "series" or "set"; by default as the cost reads outputs.
            seed: of the split.
            x_o: an observation with missing values (NaN), for all observations with the same gaps: only what they
                have is compared. Or a set of few trials, for all sets of as many or more: simulated ones are cut to it.

        Raises:
            ValueError: fewer than 100 simulations that succeeded, or of other outputs than the cost's.
        """
        simulations = rows_as_known(cost, simulations)
        rows = _rows_of_prior(cost, simulations)
        rows = np.random.default_rng(seed).permutation(rows)
        m = min(MOST_HELD_OUT, len(rows) // 3)
        held_out, others = rows[:m], rows[m : m + MOST_REFERENCE]
        read_as = output_kind(cost, kind)
        known = simulations.conditions.astype(np.float64)
        scale = np.stack([known[others].mean(axis=0), known[others].std(axis=0) + 1e-12])
        observed = None if x_o is None else cost.check_observation(x_o)
        missing = None if observed is None or not has_gaps(observed) else np.isnan(observed)
        x, trials, cut = simulations.x, 0, False
        if read_as == "set":
            # The statistics of fewer trials scatter more.
            trials = usual_trials(x[others])
            trials = trials if observed is None else min(trials, len(observed))
            cut = observed is not None and trials == len(observed)
            x = x[:, :trials] if cut else x
        vectors = _seen(as_vectors(x[others], read_as), missing)
        space = OutputSpace.fit(vectors)
        points = np.concatenate([space(vectors), (known[others] - scale[0]) / scale[1]], axis=1)
        tree = KDTree(points)
        made = cls(
            cost=cost,
            kind=read_as,
            trials=trials,
            space=space,
            tree=tree,
            # The sixth nearest, because a point is its own nearest.
            usual=tree.query(points, k=NEIGHBOURS + 1)[0][:, -1],
            theta=simulations.theta[others],
            scores=np.zeros((0, 2)),
            training=None,
            conditions_scale=scale,
            missing=missing,
            cut=cut,
        )
        scores, _ = made._scores(x[held_out], simulations.conditions[held_out])
        return replace(made, scores=scores, training=made._training(x[others[:m]], seed))

    def judge(self, x_o: Any, conditions: Any = None) -> Support:
        """The verdict on one observation, under its known conditions if any.

        Of an observed set with more trials than the simulated ones, parts of their size are judged, and the most
        unusual one is reported with its p-value times their number.

        Raises:
            ValueError: x_o does not have the form of an output, or has other gaps than the reference.
        """
        checked = self.cost.check_observation(x_o)
        if not self.suits(checked):
            raise ValueError(
                "x_o has other missing values than the observation that the reference was made for: make another one, "
                "SupportReference.of(cost, simulations, x_o=x_o)."
            )
        known = np.asarray(self.cost.check_conditions(conditions), np.float32).reshape(1, -1)
        parts = same_trials(checked, self.trials) if self.kind == "set" else [checked]
        found = [self._judge_one(part, known) for part in parts]
        worst = min(found, key=lambda one: one.p_value)
        return replace(worst, p_value=min(1.0, len(parts) * worst.p_value))

    def suits(self, x_o: np.ndarray) -> bool:
        """Whether an observation has the gaps that the reference was made for; a set has at least as many trials."""
        if self.kind == "set":
            return not self.cut or len(x_o) >= self.trials
        return not has_gaps(x_o) if self.missing is None else np.array_equal(np.isnan(x_o), self.missing)

    def p_values(self, x: np.ndarray, conditions: Any = None) -> Float[np.ndarray, "n 3"]:
        """p-values of outputs (n, *x_shape): joint, isolation, least cost."""
        known = np.zeros((len(x), 0), np.float32) if conditions is None else np.asarray(conditions, np.float32)
        return self._p_values(self._scores(x, known)[0])

    def _judge_one(self, x_o: np.ndarray, known: np.ndarray) -> Support:
        scores, theta = self._scores(x_o[None], known)
        joint, isolation, least = self._p_values(scores)[0]
        training = None
        if self.training is not None:
            training = float(np.mean(self.training >= self.space.reach(self._vectors(x_o[None]))[0]))
        median, high = np.quantile(self.scores[:, 1], [0.5, 0.95])
        return Support(
            p_value=float(joint),
            isolation=float(isolation),
            least_cost=float(least),
            cost=float(scores[0, 1]),
            usual_cost=(float(median), float(high)),
            theta=theta[0],
            training=training,
            held_out=len(self.scores),
        )

    def _p_values(self, scores: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        m = len(self.scores)
        ordered = np.sort(self.scores, axis=0)
        # How many of the m held-out outputs and the observation itself are at least as unusual.
        own = np.stack([m - np.searchsorted(ordered[:, j], scores[:, j], "left") + 1 for j in range(2)], axis=1)
        others = np.stack([m - np.searchsorted(ordered[:, j], self.scores[:, j], "left") for j in range(2)], axis=1)
        joint = np.empty(len(scores))
        for i, one in enumerate(scores):
            least = np.min(others + (one >= self.scores), axis=1)
            joint[i] = (1 + np.sum(least <= own[i].min())) / (m + 1)
        return np.column_stack([joint, own / (m + 1)])

    def _scores(self, x: np.ndarray, known: np.ndarray) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n dim"]]:
        """Isolation and least cost of outputs, and the parameter of least cost."""
        distances, nearest = self.tree.query(self._points(x, known), k=min(MOST_PARAMETERS, len(self.usual)))
        # Relative distances allow for outputs that are rare, but possible (local outlier factor, Breunig et al. 2000).
        usual = self.usual[nearest[:, :NEIGHBOURS]].mean(axis=1)
        isolation = distances[:, NEIGHBOURS - 1] / (usual + 1e-12)
        costs = self._costs(self.theta[nearest], x, known)
        best = nearest[np.arange(len(x)), np.argmin(costs, axis=1)]
        return np.column_stack([isolation, costs.min(axis=1)]), self.theta[best]

    def _points(self, x: np.ndarray, known: np.ndarray) -> Float[np.ndarray, "n r"]:
        middle, scale = self.conditions_scale
        return np.concatenate([self.space(self._vectors(x)), (known - middle) / scale], axis=1)

    def _vectors(self, x: np.ndarray) -> Float[np.ndarray, "n k"]:
        return _seen(as_vectors(x, self.kind), self.missing)

    def _costs(self, theta: Float[np.ndarray, "n t dim"], x: np.ndarray, known: np.ndarray) -> Float[np.ndarray, "n t"]:
        """The cost of every output at parameters of its own."""
        gaps = self.missing is not None
        if self.missing is not None:
            x = np.where(self.missing[None], np.nan, x)
        found = []
        for start in range(0, len(x), _AT_ONCE):
            rows = np.minimum(np.arange(start, start + _AT_ONCE), len(x) - 1)
            framed, conditions = on_device(self.cost.frame(x[rows])), on_device(known[rows], np.float32)
            tried = on_device(theta[rows], np.float32)
            part = _costs(self.cost.expectation, tried, framed, conditions, gaps)
            found.append(np.asarray(part)[: len(x) - start])
        costs = np.concatenate(found)
        # What the distance's transform is not defined for (an observation with its sign changed) is infinitely far.
        return np.where(np.isnan(costs), np.inf, costs) if self.cost.frame.transform.name else costs

    def _training(self, x: np.ndarray, seed: int) -> Float[np.ndarray, " targets"] | None:
        """How far out a general network's training targets lay: simulated outputs, and noisy ones."""
        form = self.cost.form
        if not isinstance(form, NetworkForm):
            return None
        found = self.space.reach(self._vectors(x))
        noise = float(self.cost.settings.get("config", {}).get("noise_scale", 0.0))
        if not noise:
            return found
        spoil = contaminated if isinstance(form.network.embedding, SetEmbedding) else blurred
        std = on_device(noise * spread_of_outputs(x), np.float32)
        # Both ways of spoiling are the same whatever constant is taken off.
        middle = np.median(all_trials(x) if self.kind == "set" and x.ndim == 3 else x.astype(np.float64), axis=0)
        noisy = middle + np.asarray(spoil(on_device(x - middle, np.float32), std, jax.random.key(seed)))
        return np.concatenate([found, self.space.reach(self._vectors(noisy))])


def _seen(
    vectors: Float[np.ndarray, "n all"], missing: Bool[np.ndarray, "*x_shape"] | None
) -> Float[np.ndarray, "n k"]:
    """The numbers of outputs that were observed."""
    return vectors if missing is None else vectors[:, ~missing.reshape(-1)]


def _rows_of_prior(cost: Cost, simulations: Simulations) -> Int[np.ndarray, " rows"]:
    """Rows at draws of the prior that succeeded, or ValueError."""
    if simulations.x_shape != cost.x_shape:
        raise ValueError(f"simulations have outputs of shape {simulations.x_shape}, the cost of {cost.x_shape}.")
    rows = np.flatnonzero(simulations.ok & (simulations.round == 0))
    if len(rows) < LEAST_SIMULATIONS:
        raise ValueError(
            f"{len(rows)} simulations at draws of the prior succeeded; the support of an observation needs at "
            f"least {LEAST_SIMULATIONS}."
        )
    return rows


@compiled
def _costs(
    form: CostForm, theta: Float[Array, "n t dim"], x: Float[Array, "n ..."], known: Float[Array, "n c"], gaps: bool
) -> Float[Array, "n t"]:
    def one(parameters: Array, x_o: Array, conditions: Array) -> Array:
        embedded = form.embed(x_o, gaps=gaps)
        shape = (parameters.shape[0], conditions.shape[0])
        inputs = jnp.concatenate([parameters, jnp.broadcast_to(conditions[None], shape)], axis=1)
        return jax.vmap(lambda row: form.value(row, embedded))(inputs)

    return jax.vmap(one)(theta, x, known)
