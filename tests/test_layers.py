"""The library's layers: a module imports only what stands before it in one list, so there are no cycles."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "genbayes"

# From the bottom up. A module may import what stands before it.
ORDER = """
outcome processes timing compiling progress seeds parameter torch_priors prior
distances.base distances.additive distances.vectors distances.sets distances
store simulations executors recorder simulate
networks training folds polynomial shared_noise regression mixture cost_forms fit_marginal fit_general cost fit_cost
persistence
sampling.draws sampling.stacked sampling.target sampling.smc sampling.nuts sampling posterior posterior_stack
temperature.choice temperature.held_out temperature.ladder temperature.noise_floor temperature.calibrated
temperature.bootstrap temperature
metrics finding diagnostics output_space support unit_errors extrapolation network_error predictive_position evidence
weighted_draws sensitivity_variants sensitivity_text sensitivity
refinement
citations plot_support plot_pairs plot_predictive plot_sensitivity plot_check plot_stack plot_temperature plots
report_html observation_findings network_findings report_verdict report coverage check stack_check
tasks.task tasks.grid tasks.ode tasks.observations tasks.monte_carlo tasks.linear_gaussian tasks.lynx_hare
tasks.uniform_1d tasks.two_moons tasks.gaussian_mixture tasks.lotka_volterra tasks.sir
tasks.hodgkin_huxley.arithmetic tasks.hodgkin_huxley.model tasks.hodgkin_huxley.statistics
tasks.hodgkin_huxley.simulator tasks.hodgkin_huxley.nwb tasks.hodgkin_huxley.recording
tasks.hodgkin_huxley.conditional tasks.hodgkin_huxley.task tasks.hodgkin_huxley tasks
baselines.method baselines.particles baselines.cost_methods baselines.rejection baselines.flows baselines.npe
baselines.nle baselines.emulator baselines
benchmark_results benchmark_metrics benchmark_plan benchmark_process benchmark_c2st benchmark
benchmark_table plot_benchmark benchmark_page
observation toml_table user_code problem artefacts workflow terminal stack_command commands
plot_traces hodgkin_huxley_inputs hodgkin_huxley_results hodgkin_huxley_posterior
argument_types benchmark_command refine_command sensitivity_command check_command temperature_command
hodgkin_huxley_command cli __main__
""".split()  # noqa: SIM905 (a list of lines would hide the layers)


def modules(source: Path) -> dict[str, Path]:
    """Every module by its name within the package; a package goes by its directory, the whole one by ''."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(name: str, path: Path, known: set[str]) -> Iterator[tuple[str, int]]:
    """What a module imports of its own package, anywhere in the file, with the line."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "genbayes":
                    yield ".".join(parts[1:]), node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[:1] == ["genbayes"]:
                base = module[1:]
            else:
                continue
            for alias in node.names:
                member = ".".join([*base, alias.name])
                yield (member if member in known else ".".join(base)), node.lineno


def violations(source: Path, order: Sequence[str]) -> list[str]:
    """One line for every unlisted module and every import of what does not stand before the importer."""
    found = modules(source)
    wrong = [f"{name} is not in the list of layers" for name in sorted(found) if name and name not in order]
    rank = {name: i for i, name in enumerate(order)}
    for name, path in sorted(found.items()):
        for target, line in imports(name, path, set(found)):
            if name in rank and rank.get(target, len(order)) >= rank[name]:
                wrong.append(f"{name} imports {target or 'the whole package'} (line {line}), which stands above it")
    return list(dict.fromkeys(wrong))


def test_every_module_imports_only_from_below() -> None:
    assert violations(SOURCE, ORDER) == []


def test_the_list_names_each_module_once() -> None:
    assert sorted(ORDER) == sorted(name for name in modules(SOURCE) if name)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("from .high import thing", "low imports high"),
        ("import genbayes.high", "low imports high"),
        ("from genbayes import high", "low imports high"),
        ("def late():\n    from .high import thing", "low imports high"),
        ("if 0:\n    from . import high", "low imports high"),
        ("from .low import itself", "low imports low"),
        ("from .pack.inner import thing", "low imports pack.inner"),
        ("import genbayes", "low imports the whole package"),
        ("from genbayes import thing", "low imports the whole package"),
    ],
)
def test_the_checker_sees_back_edges(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "pack").mkdir()
    files = {"low.py": text, "high.py": "", "__init__.py": "from .low import x\nfrom .high import y"}
    files |= {"pack/__init__.py": "from .inner import x", "pack/inner.py": "from ..low import x"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    order = ["low", "pack.inner", "pack", "high"]
    found = violations(tmp_path, order)
    assert len(found) == 1
    assert complaint in found[0]
    (tmp_path / "low.py").write_text("import json\nfrom collections import abc")
    assert violations(tmp_path, order) == []
    assert violations(tmp_path, ["low", "pack.inner", "pack"])[0] == "high is not in the list of layers"
    assert "pack.inner imports low" in violations(tmp_path, order[1:] + ["low"])[0]
