"""Every image of the documentation is made by docs/make_images.py, and shown by a page."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import genbayes as gb

DOCS = Path(__file__).parents[2] / "docs"


def test_one_script_makes_every_image() -> None:
    source = importlib.util.spec_from_file_location("make_images", DOCS / "make_images.py")
    assert source is not None
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    made = [name for _, names in module.MADE.values() for name in names]
    assert sorted(made) == sorted(path.stem for path in (DOCS / "images").glob("*"))
    assert set(module.NEED_DATA) < set(module.MADE)
    pages = "".join(path.read_text("utf-8") for path in DOCS.rglob("*.md"))
    assert [name for name in made if f"images/{name}.png" not in pages] == []


@pytest.mark.slow
def test_every_image_can_be_made(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(gb.__file__).parents[1])}
    command = [sys.executable, str(DOCS / "make_images.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names = sorted(path.name for path in (DOCS / "images").glob("*"))
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
    for name in names:
        # As wide as those of the pages, and something is drawn.
        with Image.open(tmp_path / name) as made, Image.open(DOCS / "images" / name) as shown:
            assert made.size[0] > 0.5 * shown.size[0]
            assert len(made.convert("L").getcolors() or []) > 5
