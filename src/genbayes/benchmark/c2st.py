"""Numbers that compare draws with reference draws."""

import warnings

import numpy as np
from jaxtyping import Float

from ..runtime.processes import cores


def c2st(
    draws: Float[np.ndarray, "n dim"],
    reference: Float[np.ndarray, "m dim"],
    *,
    seed: int = 0,
    most: int = 5000,
    workers: int | None = None,
) -> float:
    """Classifier two-sample test: the accuracy with which a network tells the two sets apart, 0.5 at best.

    A multi-layer perceptron with two hidden layers of max(16, 10 dim) units, 5-fold cross-validation, coordinates
    standardised by the reference (Lopez-Paz and Oquab 2017, with the settings common in simulation-based inference).

    Args:
        draws: (n, dim).
        reference: (m, dim); the longer set is cut to the shorter one's length, so that 0.5 is chance.
        seed: of the classifier and of the folds.
        most: rows used of each set at most.
        workers: processes that train folds side by side; by default one in up to three dimensions, where training
            takes about a second, and one per core in more. The number that comes out does not depend on it.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: another number of columns, or draws that are not finite.
    """
    try:
        from joblib import parallel_config
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import KFold, cross_val_score
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits
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
    classifier = MLPClassifier((units, units), max_iter=1000, solver="adam", random_state=seed)
    folds = KFold(5, shuffle=True, random_state=seed)
    workers = (1 if draws.shape[1] <= 3 else cores()) if workers is None else workers
    # The matrices are small: a second thread for each costs more than it gives. scikit-learn keeps float32, which
    # takes two thirds of the time of float64.
    one_thread = {"inner_max_num_threads": 1} if workers > 1 else {}
    with (
        threadpool_limits(1),
        # A network that still learns after 1000 epochs has found a difference; the test's settings end it there.
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
        parallel_config("loky" if workers > 1 else "sequential", n_jobs=min(workers, 5), **one_thread),
    ):
        scores = cross_val_score(classifier, data.astype(np.float32), labels, cv=folds, scoring="accuracy")
    return float(np.mean(scores))
