"""The training loop: modules + loss + rows + FitConfig -> the best modules and a FitRecord.

Every fit in the library goes through `train`. One block of epochs is one compiled scan; ensemble members are the
leading axis of every array and are trained at once by vmap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ..runtime.compiling import compiled, on_device
from ..runtime.counts import set_counts
from ..runtime.devices import divided
from ..runtime.notebook import html_table
from ..runtime.outcome import Outcome
from ..runtime.progress import progress_bar
from ..runtime.timing import stopwatch

# Least and most rows of a step, and steps of an epoch in between, where the rows decide. What a network has learned
# goes by the number of steps, and a step of few rows costs less: a network of 500 runs of the lynx and the hare left
# 0.96 of a line's squared error with batches of 256, and 0.41 with 32.
_LEAST_BATCH, _MOST_BATCH = 32, 256
_STEPS_OF_AN_EPOCH = 300
# Rows of a step to which a given number is not lowered for the sake of more steps.
_LEAST_LOWERED = 16
# Share of the steps over which the step size grows to its full size.
_WARM_UP = 0.05
# Epochs after which a fit may be given up that falls behind another one, and over which the two are compared.
_EPOCHS_OF_A_RACE = 10
_EPOCHS_COMPARED = 5
# Mean ratio of the members' losses that chance does not make, where every member is behind: fits that end alike may be
# a percent apart before.
_WELL_ABOVE = 1.02
# loss(member module, row indices, data, key) -> mean loss over the rows
Loss = Callable[[Any, Int[Array, " rows"], Any, PRNGKeyArray], Float[Array, ""]]


@dataclass(frozen=True)
class FitConfig:
    """How a cost is fitted.

    Attributes:
        members: networks in the ensemble. Each holds out its own validation rows, so that together they use all rows.
        width: units of a hidden layer.
        depth: residual blocks.
        learning_rate: Adam's largest step size, reached after a twentieth of the steps; from there it falls to zero
            along a cosine over `max_epochs`.
        batch_size: parameters per step; lowered when there are fewer training rows. None: a 300th of the training
            rows, at least 32, at most 256.
        least_steps: of an epoch, for which a given `batch_size` is lowered, to 16 at least.
        max_epochs: passes over the training rows at most.
        patience: epochs without a better validation loss after which a member stops, and all of them without a better
            mean of theirs.
        validation_fraction: share of the rows that a member never trains on.
        targets: outputs paired with every parameter of a step as if they were observed (general cost only).
        noise_targets: further such targets, made unlike the simulations: outputs plus noise; where they are sets,
            a random share of the trials taken from another set and displaced (general cost only; the paper had 100 in
            all, here they are fresh in each step, and `GENERAL_CONFIG` has 2 for every parameter).
        noise_scale: standard deviation of that noise, in prior-predictive standard deviations (the paper: 2); in sets
            the displacement has a random one, up to 1.5 times this.
    """

    members: int = 4
    width: int = 64
    depth: int = 2
    learning_rate: float = 5e-3
    batch_size: int | None = None
    least_steps: int = 1
    max_epochs: int = 50
    patience: int = 10
    validation_fraction: float = 0.1
    targets: int = 32
    noise_targets: int = 0
    noise_scale: float = 2.0

    def __post_init__(self) -> None:
        counts = ["members", "width", "depth", "least_steps", "max_epochs", "patience", "targets"]
        if self.batch_size is not None:
            counts.append("batch_size")
        set_counts(self, *counts)
        set_counts(self, "noise_targets", least=0)
        for name in ("learning_rate", "noise_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"FitConfig: {name} must be greater than 0, got {getattr(self, name)!r}.")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"FitConfig: validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}; "
                "0.1 holds out every tenth row."
            )

    def batch_of(self, n_train: int) -> int:
        """Rows of a step where there are so many to train on."""
        if self.batch_size is None:
            return min(max(n_train // _STEPS_OF_AN_EPOCH, _LEAST_BATCH), _MOST_BATCH, n_train)
        return min(self.batch_size, max(n_train // self.least_steps, _LEAST_LOWERED), n_train)


@dataclass(frozen=True, eq=False, repr=False)
class FitRecord:
    """What happened while one network (an ensemble of `k` members) was fitted.

    Attributes:
        name: which part of the cost this is.
        loss_name: the loss, with what it is relative to.
        train_loss: (k, epochs), nan after a member has stopped.
        validation_loss: (k, epochs + 1), on each member's held-out rows; column 0 is before the first step.
        best_epoch: (k,), the epoch whose weights were kept; 0 means that training did not help.
        seconds: "compile" and "run".
        outcome: what went wrong, with the remedy.
    """

    name: str
    loss_name: str
    train_loss: np.ndarray
    validation_loss: np.ndarray
    best_epoch: np.ndarray
    seconds: dict[str, float]
    outcome: Outcome

    def __repr__(self) -> str:
        first, best = (values.mean() for values in (self.validation_loss[:, 0], self.best_loss))
        return f"FitRecord({self.name}: {self.loss_name} {first:.4g} before, {best:.4g} after training)"

    def _repr_html_(self) -> str:
        rows = [
            (f"member {i}", f"{first:.4g}", f"{best:.4g}", str(epoch))
            for i, (first, best, epoch) in enumerate(
                zip(self.validation_loss[:, 0], self.best_loss, self.best_epoch, strict=True)
            )
        ]
        header = ("", "validation loss before", "best", "epoch of the best")
        return html_table(f"{self.name}: {self.loss_name}", header, rows, self.outcome.messages)

    @property
    def best_loss(self) -> Float[np.ndarray, " members"]:
        """Validation loss of each member's best epoch."""
        return self.validation_loss[np.arange(len(self.best_epoch)), self.best_epoch]


class _Member(eqx.Module):
    """What one member carries from epoch to epoch; all its weights are one vector.

    The optimiser then is a handful of operations on one array, where a network of 14 arrays has 14 times as many to
    compile.
    """

    weights: Float[Array, "..."]
    optimiser: PyTree
    best: Float[Array, "..."]
    best_loss: Float[Array, "..."]
    best_epoch: Int[Array, "..."]


def train(
    modules: PyTree,
    loss: Loss,
    data: PyTree,
    train_rows: Int[np.ndarray, "members n_train"],
    validation_rows: Int[np.ndarray, "members n_validation"],
    config: FitConfig,
    *,
    rng: np.random.Generator,
    name: str,
    loss_name: str,
    progress: bool = False,
    rival: FitRecord | None = None,
    renewed: Callable[[], tuple[PyTree, Int[np.ndarray, "members n_train"]]] | None = None,
) -> tuple[PyTree, FitRecord]:
    """Fits an ensemble and returns each member's weights of its best validation epoch.

    Args:
        modules: equinox module whose array leaves have the members as their leading axis.
        loss: mean loss of one member over given rows; a module-level function, so that a second fit of the same
            shapes compiles nothing.
        data: arrays that the loss reads by row.
        train_rows: each member's training rows.
        validation_rows: each member's held-out rows, disjoint from its training rows.
        config: see `FitConfig`.
        rng: source of batches.
        name: what is fitted, for messages.
        loss_name: what the loss measures.
        progress: show a progress bar.
        rival: of another fit of the same rows by the same configuration, of which the better one is wanted: training
            ends where it falls behind, see `is_behind`.
        renewed: of a store, other data and training rows after every block of epochs, see `TrainingData`.
    """
    weights, static = eqx.partition(modules, eqx.is_inexact_array)
    held_out = on_device(validation_rows)
    key = jax.random.key(int(rng.integers(2**31)))
    # Blocks of equal size, for each size is compiled; they may pass the last epoch, where every member stops. One step
    # more than epochs: a step validates first, and the last one does nothing else.
    block = -(-(config.max_epochs + 1) // -(-(config.max_epochs + 1) // 5))
    state = _start(weights, config)
    losses: list[np.ndarray] = []
    with stopwatch() as seconds, progress_bar(f"fitting the {name}", config.max_epochs, progress) as advance:
        for epoch in range(0, config.max_epochs + 1, block):
            if renewed is not None and epoch > 0:
                data, train_rows = renewed()
            order = _order(train_rows, block, config, rng)
            number = on_device(epoch)
            state, new = _epochs(state, weights, static, loss, data, order, held_out, key, number, config)
            losses.append(np.asarray(new))
            best_epoch, best_loss = np.asarray(state.best_epoch), np.asarray(state.best_loss)
            advance(min(block, config.max_epochs - epoch), note=f"validation loss {best_loss.mean():.4g}")
            validation = np.concatenate(losses, axis=1)[1].T
            if np.all(epoch + block - 1 - best_epoch >= config.patience) or _has_settled(validation, best_loss, config):
                break
            if rival is not None and is_behind(validation, rival.validation_loss):
                break
    train_loss, validation_loss = np.concatenate(losses, axis=1).transpose(0, 2, 1)
    record = FitRecord(
        name=name,
        loss_name=loss_name,
        train_loss=train_loss[:, : min(config.max_epochs, train_loss.shape[1] - 1)],
        validation_loss=validation_loss[:, : config.max_epochs + 1],
        best_epoch=best_epoch,
        seconds=seconds,
        outcome=_judge(name, best_loss, best_epoch, config),
    )
    return eqx.combine(_unravelled(state.best, weights), static), record


def known_rows(values: Float[Array, "n ..."], rows: Int[Array, " rows"]) -> Float[Array, "rows ..."]:
    """Rows by their numbers, which exist: in a step of training, to check each of them would take its time."""
    return values.at[rows].get(mode="promise_in_bounds")


def _has_settled(
    losses: Float[np.ndarray, "members epochs"], best_loss: Float[np.ndarray, " members"], config: FitConfig
) -> bool:
    """Whether the members' mean validation loss was least as long ago as their patience lasts.

    That single members go on to find a lower one, by their few held-out rows, is chance then.
    """
    # A member that has stopped stands where it was best.
    mean = np.where(np.isnan(losses), best_loss[:, None], losses).mean(axis=0)
    return bool(len(mean) - 1 - np.argmin(mean) >= config.patience)


def is_behind(losses: Float[np.ndarray, "members epochs"], others: Float[np.ndarray, "members other_epochs"]) -> bool:
    """Whether every member is above the same member of another fit by its validation loss, and well above on average.

    Both follow the same schedule and are judged on the same held-out rows, so that one epoch of either compares with
    that epoch of the other. The members' mean losses of the last five epochs count, from the tenth epoch on.
    """
    epochs = losses.shape[1]
    if epochs < _EPOCHS_OF_A_RACE or epochs > others.shape[1]:
        return False
    own, other = (values[:, epochs - _EPOCHS_COMPARED : epochs].mean(axis=1) for values in (losses, others))
    # Of a member that has stopped nothing is known: it is NaN, and behind nobody.
    return bool(np.all(own > other) and np.mean(own / other) > _WELL_ABOVE)


def _order(
    train_rows: Int[np.ndarray, "members n_train"], block: int, config: FitConfig, rng: np.random.Generator
) -> Int[Array, "block members steps batch"]:
    """Shuffled batches of a block of epochs; the rows left over by the last whole batch are others in every epoch."""
    members, n_train = train_rows.shape
    batch_size = config.batch_of(n_train)
    steps = n_train // batch_size
    shuffled = rng.permuted(np.broadcast_to(train_rows, (block, *train_rows.shape)), axis=2)
    return divided(shuffled[:, :, : steps * batch_size].reshape(block, members, steps, batch_size))


def _optimiser(steps: int, config: FitConfig) -> optax.GradientTransformation:
    # Of one step the schedule could make no curve.
    total, peak = max(steps * config.max_epochs, 2), config.learning_rate
    schedule = optax.warmup_cosine_decay_schedule(_WARM_UP * peak, peak, max(round(_WARM_UP * total), 1), total)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))


def _start(weights: PyTree, config: FitConfig) -> _Member:
    """All members before the first step."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(weights)]
    members = len(leaves[0])
    vectors = on_device(np.concatenate([leaf.reshape(members, -1) for leaf in leaves], axis=1))
    # Adam starts from zeros; its `init` would be a program for each of them.
    shapes = jax.eval_shape(jax.vmap(_optimiser(1, config).init), vectors)
    optimiser = jax.tree.map(lambda leaf: on_device(np.zeros(leaf.shape, leaf.dtype)), shapes)
    best_loss = on_device(np.full(members, np.inf, np.float32))
    return _Member(vectors, optimiser, vectors, best_loss, on_device(np.zeros(members, np.int32)))


def _unravelled(vectors: Float[Array, "members size"], template: PyTree) -> PyTree:
    """The weights of all members from their vectors, by numpy: the inverse of `_start`'s concatenation."""
    leaves, structure = jax.tree.flatten(template)
    values, done, rebuilt = np.asarray(vectors), 0, []
    for leaf in leaves:
        size = leaf.size // len(leaf)
        rebuilt.append(on_device(values[:, done : done + size].reshape(leaf.shape)))
        done += size
    return jax.tree.unflatten(structure, rebuilt)


@compiled
def _epochs(
    state: _Member,
    template: PyTree,
    static: PyTree,
    loss: Loss,
    data: PyTree,
    order: Int[Array, "block members steps batch"],
    held_out: Int[Array, "members n_validation"],
    key: PRNGKeyArray,
    epoch: Int[Array, ""],
    config: FitConfig,
) -> tuple[_Member, Float[Array, "2 block members"]]:
    """Runs a block of epochs of all members as one compiled scan; returns training and validation losses.

    Epoch `number` first validates the weights that it finds, then trains.
    """
    block, members, steps, _ = order.shape
    # This takes weights in the order of the leaves, as `_start` has put them.
    unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], template))[1]

    def loss_of(weights: Array, rows: Array, batch_key: PRNGKeyArray) -> Array:
        return loss(eqx.combine(unravel(weights), static), rows, data, batch_key)

    def one_epoch(state: _Member, scanned: tuple[Array, Array]) -> tuple[_Member, Array]:
        batches, number = scanned
        # All validation rows, with the same key each time: a changing subset or pairing would blur the comparison.
        validation = jax.vmap(loss_of, in_axes=(0, 0, None))(state.weights, held_out, key)
        validated = partial(_validated, number=number, config=config)
        judged, stops, had_stopped = jax.vmap(validated)(state, validation)

        def trained() -> tuple[Array, PyTree, Array]:
            keys = jax.random.split(jax.random.fold_in(key, number), members)
            of_member = partial(_trained_epoch, loss_of, config=config)
            return jax.vmap(of_member)(state.weights, state.optimiser, batches, keys)

        def left() -> tuple[Array, PyTree, Array]:
            return state.weights, state.optimiser, jnp.zeros_like(validation)

        # A block goes on behind the end of the last member, where there is nothing to train.
        weights, optimiser_state, losses = jax.lax.cond(jnp.all(stops), left, trained)
        shown = jnp.where(jnp.stack([stops, had_stopped]), jnp.nan, jnp.stack([losses, validation]))
        return _Member(weights, optimiser_state, judged.best, judged.best_loss, judged.best_epoch), shown

    state, shown = jax.lax.scan(one_epoch, state, (order, epoch + jnp.arange(block)))
    return state, jnp.moveaxis(shown, 1, 0)


def _validated(
    member: _Member, validation: Float[Array, ""], number: Int[Array, ""], config: FitConfig
) -> tuple[_Member, Bool[Array, ""], Bool[Array, ""]]:
    """Keeps the member's weights if they are the best so far; says whether it stops now, and whether it had before."""
    had_stopped = (number - 1 - member.best_epoch >= config.patience) | (number > config.max_epochs)
    better = (validation < member.best_loss) & ~had_stopped
    best_epoch = jnp.where(better, number, member.best_epoch)
    stops = had_stopped | (number - best_epoch >= config.patience) | (number >= config.max_epochs)
    best = jnp.where(better, member.weights, member.best)
    best_loss = jnp.where(better, validation, member.best_loss)
    return _Member(member.weights, member.optimiser, best, best_loss, best_epoch), stops, had_stopped


def _trained_epoch(
    loss_of: Callable[[Array, Array, PRNGKeyArray], Array],
    weights: Float[Array, " size"],
    optimiser_state: PyTree,
    batches: Int[Array, "steps batch"],
    key: PRNGKeyArray,
    config: FitConfig,
) -> tuple[Float[Array, " size"], PyTree, Float[Array, ""]]:
    """One pass of Adam over the batches; returns weights, the optimiser's state and the steps' mean loss."""
    steps = batches.shape[0]
    optimiser = _optimiser(steps, config)

    def step(carry: tuple[Array, PyTree], batch: tuple[Array, PRNGKeyArray]) -> tuple[tuple[Array, PyTree], Array]:
        weights, optimiser_state = carry
        value, gradient = jax.value_and_grad(loss_of)(weights, *batch)
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, weights)
        return (weights + jnp.asarray(updates), optimiser_state), value

    (weights, optimiser_state), losses = jax.lax.scan(
        step, (weights, optimiser_state), (batches, jax.random.split(key, steps))
    )
    return weights, optimiser_state, jnp.mean(losses)


def _judge(name: str, best_loss: np.ndarray, best_epoch: np.ndarray, config: FitConfig) -> Outcome:
    """What went wrong in training, with the remedy."""
    messages = []
    if not np.all(np.isfinite(best_loss)):
        messages.append(
            f"The {name} network's validation loss is not finite: the outputs or distances may hold very large values; "
            "rescale the distance or lower FitConfig.learning_rate."
        )
    late = int(np.sum(best_epoch > config.max_epochs - 3))
    # The step size has fallen to zero by then: a member that still improves was stopped by the clock.
    if 2 * late > len(best_epoch) and config.max_epochs < 30:
        messages.append(
            f"The {name} network was still improving in the last of {config.max_epochs} epochs: "
            "raise FitConfig.max_epochs."
        )
    return Outcome(tuple(messages))
