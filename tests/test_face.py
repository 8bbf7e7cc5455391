"""What `import genbayes` offers: the public names, each with a docstring and a line in the documentation."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import genbayes as gb

REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"


def test_dir_shows_the_public_names_alone() -> None:
    assert dir(gb) == sorted(gb.__all__)
    assert len(set(gb.__all__)) == len(gb.__all__)


@pytest.mark.parametrize("name", gb.__all__)
def test_every_public_name_is_there_and_has_a_docstring(name: str) -> None:
    text = inspect.getdoc(getattr(gb, name))
    assert text
    # A dataclass without a docstring of its own gets its signature as one.
    assert not text.startswith(f"{name}(")


def test_the_reference_names_what_is_public() -> None:
    cells = [line.split("|")[1] for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(gb.__all__)


def test_names_are_imported_when_they_are_used() -> None:
    code = "import sys, genbayes; print('jax' in sys.modules); genbayes.SMC; print('jax' in sys.modules); print("
    # What registers itself is there, whatever else was imported.
    code += "*__import__('genbayes.sampling.sampler', fromlist=['']).samplers())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["False", "True", "nuts smc"]


def test_applications_are_not_imported_by_the_face() -> None:
    code = "import sys, genbayes; print([n for n in sys.modules if n.startswith('genbayes.hodgkin_huxley')])"
    code += "; import genbayes.hodgkin_huxley; print(genbayes.hodgkin_huxley.HodgkinHuxley.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "HodgkinHuxley"]


def test_notebooks_are_not_warned_of_bars_that_nobody_shows() -> None:
    # As tqdm does when numpyro imports it in a notebook without ipywidgets.
    code = "import warnings, genbayes; warnings.warn('IProgress not found. Please update jupyter and ipywidgets.')"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code.replace("IProgress", "Other")], check=False)
    assert done.returncode == 1
