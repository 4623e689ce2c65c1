import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn import KeyNet

D = 5

architectures = st.fixed_dictionaries(
    {
        "hidden_sizes": st.lists(st.integers(2, 7), min_size=1, max_size=3),
        "n_heads": st.sampled_from([1, 3]),
        "activation": st.sampled_from(["soft_leaky_relu", "leaky_relu", "relu"]),
        "inject_every": st.sampled_from([None, 1, 2]),
        "residual": st.booleans(),
        "scale": st.sampled_from([1.0, 2.5]),
    }
)
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**16)


def points(n, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def make(randomize):
    def build(seed=0, dtype=torch.float64, **architecture):
        return randomize(KeyNet(D, **architecture), seed).to(dtype)

    return build


@given(architecture=architectures, dtype=dtypes, seed=seeds)
def test_scores_are_those_of_the_keys(make, architecture, dtype, seed):
    net = make(seed, dtype, **architecture)
    x = points(6, seed, dtype)
    with torch.no_grad():
        scores, keys = net.scores_and_keys(x)
    assert keys.shape == (6, architecture["n_heads"], D)
    assert scores.dtype == keys.dtype == dtype
    assert torch.equal(keys, net(x))
    assert torch.equal(scores, net.scores(x))
    expected = (keys * x[:, None]).sum(dim=2)
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-4)


@given(architecture=architectures, seed=seeds)
def test_heads_are_rows_of_the_last_layer(make, architecture, seed):
    """Head j reads coordinates j d .. (j + 1) d of the stack's output."""
    net = make(seed, **architecture)
    x = points(6, seed)
    flat = net.preactivations(x)[-1]
    for j in range(architecture["n_heads"]):
        key = flat[:, j * D : (j + 1) * D] + (x if architecture["residual"] else 0)
        torch.testing.assert_close(net(x)[:, j], architecture["scale"] * key)


@given(architecture=architectures, seed=seeds)
def test_partitions_pick_heads(make, architecture, seed):
    net = make(seed, **architecture | {"n_heads": 4})
    x = points(6, seed)
    scores, keys = net.scores_and_keys(x)
    generator = torch.Generator().manual_seed(seed)
    for p in (1, 2, 4):
        partitions = torch.randint(0, 4, (6, p), generator=generator)
        some_scores, some_keys = net.scores_and_keys(x, partitions)
        assert torch.equal(some_scores, scores)
        expected = torch.stack([keys[i, partitions[i]] for i in range(6)])
        assert torch.equal(some_keys, expected)


def test_zero_query_scores_zero(make):
    net = make(hidden_sizes=[6], n_heads=3)
    scores, keys = net.scores_and_keys(torch.zeros(2, D, dtype=torch.float64))
    assert not scores.any()
    assert keys.isfinite().all()


@pytest.mark.parametrize("residual", [False, True])
def test_scale_multiplies_keys_and_scores(make, residual):
    x = points(4, 0)
    one, five = (
        make(hidden_sizes=[6], n_heads=2, residual=residual, scale=s)
        for s in (1.0, 5.0)
    )
    torch.testing.assert_close(five(x), 5 * one(x))
    torch.testing.assert_close(five.scores(x), 5 * one.scores(x))


def test_residual_adds_the_query(make):
    x = points(4, 0)
    without, with_ = (make(hidden_sizes=[6], residual=r) for r in (False, True))
    torch.testing.assert_close(with_(x), without(x) + x[:, None])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_set_constant(make, scale):
    net = make(hidden_sizes=[6, 6], n_heads=2, scale=scale)
    x = points(4, 0)
    constant = points(2, 1)
    net.set_constant(torch.zeros(2, D))
    before = net(x)
    net.set_constant(constant)
    torch.testing.assert_close(net(x), before + constant)


def test_parameters_learn(make):
    net = make(hidden_sizes=[6, 6], n_heads=2)
    scores, keys = net.scores_and_keys(points(8, 0))
    (scores.square().mean() + keys.square().mean()).backward()
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_the_weights_keep_their_sign(make):
    net = make(hidden_sizes=[6, 6])
    assert (net.layers[0].weight < 0).any()
    assert torch.equal(net.layers[0].weight, net.layers[0].raw_weight)
