"""Rows of a benchmark in a CSV file that grows, so that an interrupted run goes on where it stopped."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def append_rows(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows behind those of the file, floats with five digits, and prints them."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        for row in rows:
            texts = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(texts)
            print(", ".join(f"{k} {v}" for k, v in texts.items()), file=sys.stderr, flush=True)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows so far; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
