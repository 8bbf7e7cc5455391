"""Numbers that compare draws with reference draws."""

import numpy as np
from jaxtyping import Float


def c2st(
    draws: Float[np.ndarray, "n dim"], reference: Float[np.ndarray, "m dim"], *, seed: int = 0, most: int = 5000
) -> float:
    """Classifier two-sample test: the accuracy with which a network tells the two sets apart, 0.5 at best.

    A multi-layer perceptron with two hidden layers of max(16, 10 dim) units, 5-fold cross-validation, coordinates
    standardised by the reference (Lopez-Paz and Oquab 2017, with the settings common in simulation-based inference).

    Args:
        draws: (n, dim).
        reference: (m, dim); the longer set is cut to the shorter one's length, so that 0.5 is chance.
        seed: of the classifier and of the folds.
        most: rows used of each set at most.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: another number of columns, or draws that are not finite.
    """
    try:
        from sklearn.model_selection import KFold, cross_val_score
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise ImportError("c2st needs scikit-learn: pip install 'genbayes[benchmark]'.") from error
    if draws.ndim != 2 or reference.ndim != 2 or draws.shape[1] != reference.shape[1]:
        raise ValueError(f"c2st compares (n, dim) with (m, dim), got {draws.shape} and {reference.shape}.")
    if not (np.isfinite(draws).all() and np.isfinite(reference).all()):
        raise ValueError("c2st needs finite draws.")
    rows = min(len(draws), len(reference), most)
    generator = np.random.default_rng(seed)
    one, two = (generator.permutation(part)[:rows] for part in (draws, reference))
    mean, std = two.mean(axis=0), two.std(axis=0)
    data = (np.concatenate([one, two]) - mean) / np.where(std > 0, std, 1.0)
    labels = np.repeat([0, 1], rows)
    units = max(16, 10 * draws.shape[1])
    # The folds are trained side by side: each takes minutes in ten dimensions.
    classifier = MLPClassifier((units, units), max_iter=1000, solver="adam", random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    return float(np.mean(cross_val_score(classifier, data, labels, cv=folds, scoring="accuracy", n_jobs=-1)))
