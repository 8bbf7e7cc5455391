"""Time per draw: tempered SMC of this library against sbi's vectorised slice sampler, on the same network.

The costs of the ten-dimensional linear Gaussian task, by features (what `fit_cost` takes for it) and by the general
network, are fitted once and copied to PyTorch; the copies' values are compared with the costs. Both samplers then draw
from the same Gibbs posteriors, in one run, in float32, each on one thread: sbi's MCMCPosterior with its defaults
(slice_np_vectorized, 20 chains, 200 warm-up steps, init by resampling), and GibbsPosteriors. Compilation is timed
apart. Means and standard deviations of the draws are compared. The share of the device's arithmetic is that of --peak
(floating-point operations a second), or of a product of two large matrices just before; with --sbi 0 no PyTorch is
needed. A second table has the seconds of 10,000 draws of one observation, also of the demo's cost, which is four
networks; a third, with --many, that of so many observations in one call.

    taskset -c 0 python benchmarks/sampling_speed.py --out benchmarks/sampling_speed.md
    python benchmarks/sampling_speed.py --sbi 0 --observations 1000 --draws 1000 --peak 67e12
"""

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb
from genbayes.benchmark.methods.flows import import_sbi
from genbayes.costs.fitting import default_config
from genbayes.costs.forms import HilbertForm, NetworkForm
from genbayes.learning.ridge import RidgeResidual
from genbayes.sampling.draws import bulk_size
from genbayes.tasks.lynx_hare import lynx_hare

BETAS = (1.0, 10.0, 100.0)
COLUMNS = (
    *("cost", "beta", "genbayes, ms a draw", "draws a second", "gradients a draw", "share of peak", "compiling, s"),
    *("sbi, ms a draw", "ratio", "per effective draw", "means", "sds"),
)
SECONDS = {True: "of processor time", False: "by the wall clock"}
# The columns that need no other sampler.
OWN = COLUMNS.index("sbi, ms a draw")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="of each posterior")
    parser.add_argument("--observations", type=int, default=20, help="of the stack that this library samples")
    parser.add_argument("--sbi", type=int, default=2, help="observations that sbi samples, one after the other")
    parser.add_argument("--epochs", type=int, default=30, help="of the fit, which is not what is timed")
    parser.add_argument("--peak", type=float, help="floating-point operations a second of the device; else measured")
    parser.add_argument("--many", type=int, default=0, help="observations of the third table, 1,000 draws of each")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    arguments.peak = arguments.peak or measured_peak()
    task = gb.tasks.linear_gaussian()
    simulations = gb.simulate(task.simulator, task.prior, 10_000, seed=0, progress=False)
    config = replace(default_config(task.distance, "general"), max_epochs=arguments.epochs)
    costs = {
        "features": gb.fit_cost(simulations, task.distance),
        "general": gb.fit_cost(simulations, task.distance, method="general", config=config),
    }
    x = gb.simulate(task.simulator, task.prior, arguments.observations, seed=1, progress=False).x
    lines = [
        "# Time per draw" + ", against sbi's slice sampler" * bool(arguments.sbi),
        "",
        f"`{shlex.join(['python', *sys.argv])}`",
        "",
        "The cost of the ten-dimensional linear Gaussian by features (the default) and by the general network (four "
        f"members of three residual blocks); {jax.devices()[0].device_kind}; {arguments.draws} draws of each "
        f"posterior; genbayes: {len(x)} observations in one call. Share: of {arguments.peak:.3g} floating-point "
        f"operations a second, what the gradients need. Seconds are {SECONDS[jax.default_backend() == 'cpu']}. "
        f"{comparison(costs, task, x, arguments)}".strip(),
        "",
        f"| {' | '.join(COLUMNS if arguments.sbi else COLUMNS[:OWN])} |",
        f"|{'---|' * (len(COLUMNS) if arguments.sbi else OWN)}",
    ]
    for name, cost in costs.items():
        for beta in BETAS:
            lines.append(f"| {name} | {row(task, cost, x, beta, arguments)}")
            print(lines[-1], flush=True)
    single = {"ten-dimensional": (task, costs["features"], x[0]), "demo": demo()}
    lines += ["", *one_observation(single, arguments.peak)]
    if arguments.many:
        lines += ["", *many_observations(task, costs["features"], arguments.many)]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def comparison(costs: dict[str, gb.Cost], task: Any, x: np.ndarray, arguments: argparse.Namespace) -> str:
    """What the reader of the other sampler's columns has to know."""
    if not arguments.sbi:
        return ""
    return (
        f"sbi: {arguments.sbi} observations one after the other. The PyTorch copies differ by at most "
        f"{max(difference(cost, task, x) for cost in costs.values()):.1e} of the cost. Means: largest difference of a "
        "parameter's mean, in standard deviations of the posterior; sds: ratio of standard deviations."
    )


def row(task: Any, cost: gb.Cost, x: np.ndarray, beta: float, arguments: argparse.Namespace) -> str:
    """One line of the table: both samplers at one beta."""
    stack = gb.GibbsPosteriors(task.prior, cost, x, beta)
    first = stack.sample(arguments.draws, seed=0, progress=False)
    started = clock()
    ours = stack.sample(arguments.draws, seed=1, progress=False)
    milliseconds = 1000 * (clock() - started) / (len(x) * arguments.draws)
    each = gradients(ours.stages.mean(), arguments.draws)
    share = operations(cost, x) * each * 1000 / milliseconds / arguments.peak
    own = (
        f"{beta:g} | {milliseconds:.5f} | {1000 / milliseconds:,.0f} | "
        f"{each:.0f} | {share:.1%} | {first.seconds.get('compile', 0.0):.1f} |"
    )
    if not arguments.sbi:
        return own
    per_draw, effective, apart, ratios = [], [], [], []
    for i in range(arguments.sbi):
        seconds, theirs = sbi_draws(cost, task, x[i], beta, arguments.draws)
        mine = ours.draws(i)
        per_draw.append(1000 * seconds / arguments.draws)
        efficiency = bulk_size(theirs).min() / arguments.draws / (mine.ess_bulk.min() / len(mine))
        effective.append(per_draw[-1] / milliseconds / efficiency)
        sd = mine.flat.std(axis=0)
        apart.append(np.abs(theirs.reshape(-1, 10).mean(axis=0) - mine.flat.mean(axis=0)) / sd)
        ratios.append(theirs.reshape(-1, 10).std(axis=0) / sd)
    return (
        f"{own} {np.mean(per_draw):.2f} | "
        f"{np.mean(per_draw) / milliseconds:.0f} | {np.mean(effective):.0f} | {np.max(apart):.2f} | "
        f"{np.min(ratios):.2f} to {np.max(ratios):.2f} |"
    )


def tensor(values: Any) -> Any:
    """An array in PyTorch."""
    return import_sbi("torch").tensor(np.array(values, np.float32))


def torch_cost(cost: gb.Cost, x_o: np.ndarray) -> Any:
    """The cost in PyTorch, of one observation: theta (n, dim) -> cost (n,)."""
    return torch_features(cost, x_o) if isinstance(cost.form, HilbertForm) else torch_general(cost, x_o)


def torch_features(cost: gb.Cost, x_o: np.ndarray) -> Any:
    """Of a cost by features whose regressions are polynomials of degree 1 or 2 without a network, as they are here."""
    torch, form = import_sbi("torch"), cast(HilbertForm, cost.form)
    features, rest = (tensor(part) for part in cost.embed(x_o))
    least = float(form.least_spread)

    def mean_of(module: RidgeResidual) -> Any:
        assert module.network is None
        assert not np.any(module.standardise.logarithmic)
        # The members share standardisation and features: the mean of predictions is the prediction of the mean.
        one = jax.tree.map(lambda leaf: leaf[0], (module.standardise, module.basis))
        (mean, std), (centre, width, bent, chosen) = (
            [tensor(leaf) for leaf in leaves] for leaves in ((one[0].mean, one[0].std), jax.tree.leaves(one[1]))
        )
        intercept, slopes = tensor(module.intercept).mean(dim=0), tensor(module.slopes).mean(dim=0)
        count = chosen.shape[1]

        def predict(theta: Any) -> Any:
            z = (theta - mean) / std
            if chosen.shape[2] == 0:
                return intercept + z @ slopes.T
            u = torch.where(bent > 0, torch.erf(z / np.sqrt(2)), torch.clamp((z - centre) / width, -1.0, 1.0))
            legendre = [torch.ones_like(u), u]
            for k in range(1, count - 1):
                legendre.append(((2 * k + 1) * u * legendre[k] - k * legendre[k - 1]) / (k + 1))
            each = torch.einsum("njd,jdf->njf", torch.stack(legendre, dim=2), chosen)
            return intercept + torch.cat([z, each.prod(dim=1)], dim=1) @ slopes.T

        return predict

    mean, spread = (mean_of(cast(RidgeResidual, part)) for part in (form.mean, form.spread))

    def function(theta: Any) -> Any:
        return ((mean(theta) - features) ** 2).sum(dim=1) + torch.clamp(spread(theta)[:, 0], min=least) + rest

    return function


def torch_general(cost: gb.Cost, x_o: np.ndarray) -> Any:
    """Of the general network."""
    torch, form = import_sbi("torch"), cast(NetworkForm, cost.form)
    assert not np.any(form.standardise.logarithmic)
    mean, std = tensor(form.standardise.mean), tensor(form.standardise.std)
    embedded = cost.embed(x_o)
    compressed = eqx.filter_vmap(lambda network, target: network.embedding.compressed(target))(form.network, embedded)
    raw, seen = tensor(embedded), tensor(compressed)
    layers = jax.tree.map(tensor, form.network.network)
    squares, scale = jax.tree.map(tensor, form.network.squares), tensor(form.scale)
    silu = torch.nn.functional.silu

    def linear(layer: Any, values: Any) -> Any:
        return torch.baddbmm(layer.bias[:, None], values, layer.weight.transpose(1, 2))

    def function(theta: Any) -> Any:
        z = (theta[None] - mean[:, None]) / std[:, None]
        both = torch.cat([z, seen[:, None].expand(-1, z.shape[1], -1)], dim=2)
        hidden = linear(layers.first, both)
        for one, two in layers.blocks:
            hidden = hidden + linear(two, silu(linear(one, silu(hidden))))
        smooth = torch.nn.functional.softplus(linear(layers.last, silu(hidden))[:, :, 0])
        lines = linear(squares, torch.cat([z, raw[:, None].expand(-1, z.shape[1], -1)], dim=2))
        return torch.mean(scale[:, None] * (smooth + torch.mean(lines**2, dim=2)), dim=0)

    return function


def difference(cost: gb.Cost, task: Any, x: np.ndarray) -> float:
    """Largest relative difference of the copy's values."""
    torch = import_sbi("torch")

    theta = np.array(task.prior.sample(1000, seed=3), np.float32)
    copy = torch_cost(cost, x[0])(torch.tensor(theta)).numpy()
    return float(np.max(np.abs(copy / np.asarray(cost(theta, x[0])) - 1)))


def sbi_draws(cost: gb.Cost, task: Any, x_o: np.ndarray, beta: float, n: int) -> tuple[float, np.ndarray]:
    """Seconds, and draws (chain, draw, dim), by sbi's default sampler."""
    torch, inference = import_sbi("torch"), import_sbi("sbi.inference")

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dim = len(task.prior.names)
    prior = torch.distributions.MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    function = torch_cost(cost, x_o)

    def potential(theta: Any, x_o: Any) -> Any:
        del x_o
        with torch.no_grad():
            return prior.log_prob(theta) - beta * function(theta)

    posterior = inference.MCMCPosterior(potential, proposal=prior)
    posterior.set_default_x(torch.tensor(x_o)[None])
    started = clock()
    draws = posterior.sample((n,), show_progress_bars=False).numpy()
    seconds = clock() - started
    chains = 20
    # sbi flattens (chain, draw).
    return seconds, draws[: n // chains * chains].reshape(chains, -1, dim)


def operations(cost: gb.Cost, x: np.ndarray) -> float:
    """Floating-point operations of the value and gradient of one cost, as the compiler counts them."""
    embedded = cost.embed(x[0])
    function = jax.value_and_grad(lambda theta: cost.form.value(theta, embedded))
    batch = jnp.zeros((1024, cost.dim))
    analysis = cast(Any, jax.jit(jax.vmap(function)).lower(batch).compile().cost_analysis())
    return float(analysis["flops"]) / 1024


def gradients(stages: float, draws: int) -> float:
    """Gradients that a draw took, on average; of few draws there are more particles, and each has its gradients."""
    default = gb.SMC()
    particles = max(draws, default.populations * default.min_particles)
    return float(stages * default.moves * (1 + default.max_steps) / 2 * particles / draws)


def clock() -> float:
    """Seconds of processor time, which other programs leave alone; where another device works, of the wall clock."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def measured_peak() -> float:
    """Floating-point operations a second of a product of two matrices of 1024 by 1024."""
    size, times = 1024, 10
    matrix = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    seconds = []
    for _ in range(6):
        started = clock()
        for _ in range(times):
            product(matrix).block_until_ready()
        seconds.append((clock() - started) / times)
    return 2 * size**3 / min(seconds)


def demo() -> tuple[Any, gb.Cost, np.ndarray]:
    """The task of `genbayes demo`, its cost and its observation."""
    task = lynx_hare()
    simulations = gb.simulate(task.simulator, task.prior, 20_000, seed=0, progress=False)
    return task, gb.fit_cost(simulations, task.distance, progress=False), np.asarray(task.x_o)


def one_observation(costs: dict[str, tuple[Any, gb.Cost, np.ndarray]], peak: float) -> list[str]:
    """The second table: seconds of 10,000 draws, the least of three after compiling."""
    lines = ["10,000 draws of one observation:", "", "| cost | beta | seconds | share of peak | least ESS |"]
    lines.append("|---|---|---|---|---|")
    for name, (task, cost, x_o) in costs.items():
        for beta in BETAS:
            posterior = gb.GibbsPosterior(task.prior, cost, x_o, beta)
            posterior.sample(10_000, seed=0)
            seconds = []
            for seed in (1, 2, 3):
                started = clock()
                draws = posterior.sample(10_000, seed=seed)
                seconds.append(clock() - started)
            stages = len(draws.statistics["beta_ladder"])
            share = operations(cost, x_o[None]) * gradients(stages, 10_000) * 10_000 / min(seconds) / peak
            lines.append(f"| {name} | {beta:g} | {min(seconds):.3f} | {share:.1%} | {draws.ess_bulk.min():.0f} |")
            print(lines[-1], flush=True)
    return lines


def many_observations(task: Any, cost: gb.Cost, count: int) -> list[str]:
    """The third table: many observations of one cost."""
    x = gb.simulate(task.simulator, task.prior, count, seed=1, progress=False).x
    lines = [f"1,000 draws of each of {count:,} observations:", "", "| beta | seconds |", "|---|---|"]
    for beta in BETAS:
        stack = gb.GibbsPosteriors(task.prior, cost, x, beta)
        # What is compiled has the shape of one chunk.
        gb.GibbsPosteriors(task.prior, cost, x[:50], beta).sample(1000, seed=0, progress=False)
        started = clock()
        stack.sample(1000, seed=1, progress=False)
        lines.append(f"| {beta:g} | {clock() - started:.1f} |")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
