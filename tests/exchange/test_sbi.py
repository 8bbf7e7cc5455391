"""Runs and priors of sbi as ours, and our draws in its pictures."""

import numpy as np
import pytest

import genbayes as gb


class Inference:
    """What an inference of sbi has of simulations: three batches in two rounds."""

    _data_round_index: tuple[int, ...] = (0, 0, 1)

    def __init__(self, prior, theta):
        self._prior, self._theta = prior, theta
        self._theta_roundwise = [theta[:4], theta[4:6], theta[6:]]

    def get_simulations(self):
        return self._theta, 2 * self._theta, None


PRIOR = gb.Prior.uniform([0.0, 0.0], [1.0, 2.0], names=["a", "b"])
THETA = np.asarray(PRIOR.sample(9, seed=0))


def test_rounds_after_the_first_are_no_draws_of_the_prior() -> None:
    prior, simulations = gb.from_sbi(Inference(PRIOR, THETA))
    assert prior is PRIOR
    assert simulations.round.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(simulations.of_prior.theta, THETA[:6])
    np.testing.assert_array_equal(simulations.x, 2 * THETA)
    assert simulations.names == ("a", "b")


def test_what_holds_no_simulations_is_refused() -> None:
    with pytest.raises(TypeError, match="A posterior of sbi holds no simulations"):
        gb.from_sbi(object())
    with pytest.raises(ValueError, match="prior is missing"):
        gb.from_sbi((THETA, THETA))
    with pytest.raises(TypeError, match="names of its own"):
        gb.from_sbi((THETA, THETA), PRIOR, ["a", "b"])
    empty = Inference(PRIOR, THETA)
    empty._data_round_index = ()
    with pytest.raises(ValueError, match="append_simulations"):
        gb.from_sbi(empty)


@pytest.mark.slow
# In sbi's pictures: torch's tensors as arrays of numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_with_sbi_itself(tmp_path, monkeypatch) -> None:
    # It writes logs into the folder in which it runs.
    monkeypatch.chdir(tmp_path)
    torch = pytest.importorskip("torch")
    inference_of = pytest.importorskip("sbi.inference")
    box = pytest.importorskip("sbi.utils").BoxUniform(torch.zeros(2), torch.tensor([1.0, 2.0]))
    theta = box.sample((50,))
    x = torch.cat([theta, theta[:, :1] * theta[:, 1:]], dim=1)
    inference = inference_of.NLE(box, show_progress_bars=False)
    inference.append_simulations(theta, x)
    prior, simulations = gb.from_sbi(inference, names=["a", "b"])
    assert prior == PRIOR
    np.testing.assert_array_equal(simulations.theta, theta.numpy())
    np.testing.assert_array_equal(simulations.x, x.numpy())
    assert not simulations.round.any()
    x[3, 0] = float("nan")
    same, pairs = gb.from_sbi((theta, x), box)
    assert same.names == ("theta_0", "theta_1")
    assert pairs.n_failed == 1

    pairplot = pytest.importorskip("sbi.analysis").pairplot
    draws = gb.Draws(theta.numpy()[None], theta.numpy()[None, :, 1], prior.names, 1.0, np.zeros(3), "SMC", 0)
    tensor = torch.as_tensor(draws.flat)
    assert torch.equal(tensor, theta)
    _, axes = pairplot(tensor, labels=list(draws.names))
    assert [axes[k, k].get_xlabel() for k in range(2)] == ["a", "b"]
