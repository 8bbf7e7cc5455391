"""The picture of coverage and ranks: what it draws is what was counted, and its legend names every line."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta as beta_law

from genbayes import plots
from genbayes.checks.coverage import Coverage


def coverage_of(ranks: np.ndarray, names: tuple[str, ...]) -> Coverage:
    levels = np.array([0.5, 0.9])
    share = np.tile(levels, (len(names), 1))
    band = np.stack([levels - 0.1, levels + 0.1])
    joint = np.abs(2 * ranks[:, 0] - 1)
    return Coverage(30.0, levels, levels, band, share, names, len(ranks), joint, ranks)


def test_curves_are_distributions_of_ranks() -> None:
    rng = np.random.default_rng(0)
    # Too narrow a posterior: its ranks gather at both ends.
    ranks = np.stack([rng.uniform(size=400), rng.beta(0.5, 0.5, 400)], axis=1)
    figure: Any = plots.coverage(coverage_of(ranks, ("rate", "size")))
    left, right = figure.axes
    curves = {line.get_label(): line for line in right.lines}
    x, y = curves["size"].get_data()
    # 400 ranks: five standard errors.
    np.testing.assert_allclose(y, beta_law.cdf(x, 0.5, 0.5) - x, atol=5 * 0.5 / 20)
    assert y[20] > 0 > y[-21]
    joint = {line.get_label(): line for line in left.lines}["jointly, highest density"]
    level, share = joint.get_data()
    np.testing.assert_allclose(share, [np.mean(np.abs(2 * ranks[:, 0] - 1) <= one) for one in level])
    texts = [text.get_text() for text in right.get_legend().get_texts()]
    assert texts == ["95 % band if calibrated", "rate", "size"]


def test_many_parameters_share_a_colour_and_a_line_of_the_legend() -> None:
    ranks = np.random.default_rng(0).uniform(size=(50, 7))
    figure: Any = plots.coverage(coverage_of(ranks, tuple("abcdefg")))
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert texts == ["95 % band if calibrated", "each parameter"]


def test_coverage_without_ranks_is_refused() -> None:
    levels = np.array([0.5])
    found = Coverage(30.0, levels, levels, np.stack([levels, levels]), levels[None], ("a",), 20)
    with pytest.raises(ValueError, match="has no ranks"):
        plots.coverage(found)
