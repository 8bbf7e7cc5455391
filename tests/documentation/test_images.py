"""Every image of the documentation is made by docs/make_images.py, and shown by a page."""

import importlib.util
from pathlib import Path

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
