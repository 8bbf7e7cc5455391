"""The conda recipe asks for what pyproject.toml asks for, and has what conda-build wants of a recipe."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# conda splits matplotlib, whose base has no windows.
CALLED = {"matplotlib": "matplotlib-base"}


def as_conda(requirement: str) -> str:
    name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
    return f"{CALLED.get(name, name)} >={least}"


def test_the_recipe_agrees_with_pyproject() -> None:
    jinja2, yaml = pytest.importorskip("jinja2"), pytest.importorskip("yaml")
    text = (ROOT / "recipe" / "meta.yaml").read_text("utf-8")
    recipe = yaml.safe_load(jinja2.Template(text, undefined=jinja2.StrictUndefined).render(PYTHON="python"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    about = project["project"]
    assert list(recipe) == ["package", "source", "build", "requirements", "test", "about"]
    assert recipe["package"] == {"name": about["name"], "version": about["version"]}
    assert (ROOT / "recipe" / recipe["source"]["path"]).resolve() == ROOT
    python = f"python {about['requires-python']}"
    needed = [*about["dependencies"], *about["optional-dependencies"]["plots"]]
    assert recipe["requirements"]["run"] == [python, *map(as_conda, needed)]
    [builder] = project["build-system"]["requires"]
    assert recipe["requirements"]["host"] == [python, "pip", as_conda(builder)]
    assert recipe["build"]["entry_points"] == [f"genbayes = {about['scripts']['genbayes']}"]
    assert recipe["build"]["noarch"] == "python"
    assert recipe["about"]["license"] == about["license"]
    assert recipe["about"]["summary"] == about["description"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()
