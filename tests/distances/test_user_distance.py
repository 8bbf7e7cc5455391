"""A distance of a user's own that cannot be compiled says so, and how to write it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb

X = jnp.ones(4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: np.sum(np.abs(x - y)),
        lambda x, y: float(jnp.abs(x - y).max()),
        lambda x, y: max(abs(x - y)),
        lambda x, y: jnp.sum(x) if x[0] > 0 else 0.0,
        lambda x, y: jnp.sum((x - y)[x > 0]),
        lambda x, y: x[int(y[0])],
    ],
)
def test_numpy_is_answered_by_the_remedy(function) -> None:
    distance = gb.distances.UserDistance(function, name="mine", units="mV")
    with pytest.raises(TypeError, match=r"distance 'mine' cannot be compiled: .* Write it with jax.numpy"):
        jax.vmap(distance)(X[None], X[None])


def test_other_errors_stay_what_they_are() -> None:
    def wrong(x, x_target):
        return x + "text"

    with pytest.raises(TypeError) as found:
        jax.vmap(gb.distances.UserDistance(wrong, name="mine", units="mV"))(X[None], X[None])
    assert "jax.numpy" not in str(found.value)


def test_a_callback_is_taken() -> None:
    def count(x, x_target):
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(lambda a, b: np.float32(np.sum(a != b)), shape, x, x_target, vmap_method="sequential")

    distance = gb.distances.UserDistance(count, name="count", units="1")
    np.testing.assert_array_equal(jax.vmap(distance)(jnp.eye(4), jnp.zeros((4, 4))), np.ones(4))
