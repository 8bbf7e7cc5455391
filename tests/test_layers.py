"""The library's packages stand one above the other; inside a package no modules import each other in a circle."""

import ast
import importlib
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "genbayes"

# From the bottom up: a package may import what stands before it. The face of the whole package is no layer.
ORDER = """
runtime
observations
distances
priors
learning
simulations
costs
sampling
exchange
model_comparison
tasks
checks
temperature
refinement
sensitivity_analysis
explorer
plots
reports
command_line
benchmark
hodgkin_huxley
cli
__main__
""".split()  # noqa: SIM905 (one line a layer shows the house)
# Methods that lead up, by module: who has a posterior looks there for its explorer.
DOORS = {"sampling.posterior": "explorer.alone"}
# A task is a module with the function that makes it.
NAMED_AS_MODULES = {"tasks"}


def modules(source: Path) -> dict[str, Path]:
    """Every module by its name within the library; a package goes by its directory, the whole one by ''."""
    found = {}
    for path in source.rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(name: str, path: Path, known: set[str]) -> Iterator[tuple[str, int]]:
    """What a module imports of its own library, anywhere in the file, with the line."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "genbayes":
                    yield ".".join(parts[1:]), node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + module
            elif module[:1] == ["genbayes"]:
                base = module[1:]
            else:
                continue
            for alias in node.names:
                member = ".".join([*base, alias.name])
                yield (member if member in known else ".".join(base)), node.lineno


def violations(source: Path, order: Sequence[str], doors: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """One line for every unlisted package, every import of what stands above, and every circle inside a package."""
    found = modules(source)
    layers = sorted({name.split(".")[0] for name in found if name})
    wrong = [f"{name} is not in the list of layers" for name in layers if name not in order]
    rank = {name: i for i, name in enumerate(order)}
    within: dict[str, set[str]] = {name: set() for name in found}
    for name, path in sorted(found.items()):
        own = name.split(".")[0]
        for target, line in imports(name, path, set(found)):
            other = target.split(".")[0]
            if doors.get(name) == target:
                continue
            if own in rank and (not target or (other != own and rank.get(other, len(order)) >= rank[own])):
                wrong.append(f"{name} imports {target or 'the whole package'} (line {line}), which stands above it")
            elif other == own:
                within[name].add(target)
    try:
        TopologicalSorter(within).prepare()
    except CycleError as error:
        wrong.append(f"imports run in a circle: {' -> '.join(error.args[1])}")
    return list(dict.fromkeys(wrong))


def test_every_module_imports_only_from_below() -> None:
    assert violations(SOURCE, ORDER, DOORS) == []


def test_doors_lead_up_and_open_late() -> None:
    found = violations(SOURCE, ORDER)
    for name, target in DOORS.items():
        assert [line for line in found if line.startswith(f"{name} imports {target} ")] != []
        top = ast.parse(modules(SOURCE)[name].read_text()).body
        assert [node for node in top if isinstance(node, ast.ImportFrom) and node.module == target] == []


def test_the_list_names_each_package_once() -> None:
    assert sorted(ORDER) == sorted({name.split(".")[0] for name in modules(SOURCE) if name})


def test_every_package_says_what_lives_there() -> None:
    for name, path in modules(SOURCE).items():
        if name and path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text()))
            assert text is not None, f"{name} has no docstring"


def test_the_neuron_is_an_application() -> None:
    found = modules(SOURCE)
    users = {
        name.split(".")[0]
        for name, path in found.items()
        for target, _ in imports(name, path, set(found))
        if target.split(".")[0] == "hodgkin_huxley"
    }
    assert users <= {"hodgkin_huxley", "cli"}


def test_no_module_hides_behind_a_name_of_its_package() -> None:
    """`package.name` is the module `name`, unless the package exports another thing by that name."""
    for name, path in modules(SOURCE).items():
        if path.name != "__init__.py" or name in NAMED_AS_MODULES:
            continue
        package = importlib.import_module(".".join(filter(None, ["genbayes", name])))
        below = {path.stem for path in path.parent.glob("[a-z]*.py")} | {
            path.parent.name for path in path.parent.glob("*/")
        }
        hidden = [stem for stem in below if not isinstance(getattr(package, stem, ast), type(ast))]
        assert hidden == [], f"{name or 'genbayes'} exports {hidden}, which are also names of its modules"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("from ..high import thing", "low.first imports high"),
        ("import genbayes.high", "low.first imports high"),
        ("from genbayes import high", "low.first imports high"),
        ("def late():\n    from ..high import thing", "low.first imports high"),
        ("if 0:\n    from .. import high", "low.first imports high"),
        ("from ..high.inner import thing", "low.first imports high.inner"),
        ("from .first import itself", "circle: low.first -> low.first"),
        ("from .second import thing", "circle: low.first -> low.second -> low.first"),
        ("import genbayes", "low.first imports the whole package"),
        ("from genbayes import thing", "low.first imports the whole package"),
    ],
)
def test_the_checker_sees_back_edges(tmp_path: Path, text: str, complaint: str) -> None:
    files = {"low/first.py": text, "low/second.py": "from .first import x", "__init__.py": "from .low.first import x"}
    files |= {"low/__init__.py": "", "high/__init__.py": "", "high/inner.py": "from ..low.second import x"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    order = ["low", "high"]
    found = violations(tmp_path, order)
    assert len(found) == 1
    assert complaint in found[0] or complaint.replace("first -> low.second -> low.first", "second -> ") in found[0]
    (tmp_path / "low/first.py").write_text("import json\nfrom collections import abc")
    assert violations(tmp_path, order) == []
    assert violations(tmp_path, ["low"])[0] == "high is not in the list of layers"
    assert "high.inner imports low" in violations(tmp_path, ["high", "low"])[0]
