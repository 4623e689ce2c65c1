import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn import SoftLeakyReLU, SupportNet

D = 5
RECTIFIERS = ["softplus", "exp", "abs", "relu"]


def architectures_with(rectifiers):
    return st.fixed_dictionaries({"rectifier": st.sampled_from(rectifiers), **OPTIONS})


OPTIONS = {
    "hidden_sizes": st.lists(st.integers(2, 7), min_size=1, max_size=3),
    "out_features": st.sampled_from([1, 3]),
    "activation": st.sampled_from(["soft_leaky_relu", "leaky_relu", "relu"]),
    "inject_every": st.sampled_from([None, 1, 2]),
    "inject_output": st.booleans(),
    "bias": st.booleans(),
    "scale": st.sampled_from([1.0, 2.5]),
}
architectures = architectures_with([*RECTIFIERS, None])
convex_architectures = architectures_with(RECTIFIERS)
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**16)


def assert_close(got, expected, tolerance=1e-5):
    """Relative, or of the largest value where sums cancel."""
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * size)


def points(n, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def make(randomize):
    """SupportNet of that architecture with random parameters, biases included."""

    def build(seed=0, dtype=torch.float64, **architecture):
        return randomize(SupportNet(D, **architecture), seed).to(dtype)

    return build


@given(architecture=architectures, dtype=dtypes, seed=seeds)
def test_gradient_equals_autograd(make, jacobian, architecture, dtype, seed):
    net = make(seed, dtype, **architecture)
    x = points(6, seed, dtype)
    with torch.no_grad():
        scores, keys = net.scores_and_keys(x)
    assert not scores.requires_grad
    assert not keys.requires_grad
    assert scores.dtype == keys.dtype == dtype
    assert keys.shape == (6, architecture["out_features"], D)
    assert_close(keys, jacobian(net, x))
    assert_close(scores, net(x).detach())
    assert torch.equal(net.scores(x), net(x))


@given(architecture=architectures, seed=seeds)
def test_partitions_pick_rows(make, architecture, seed):
    architecture = architecture | {"out_features": 4}
    net = make(seed, **architecture)
    x = points(6, seed)
    scores, keys = net.scores_and_keys(x)
    generator = torch.Generator().manual_seed(seed)
    for p in (1, 2, 4):
        partitions = torch.randint(0, 4, (6, p), generator=generator)
        some_scores, some_keys = net.scores_and_keys(x, partitions)
        assert_close(some_scores, scores, 1e-12)
        expected = torch.stack([keys[i, partitions[i]] for i in range(6)])
        assert_close(some_keys, expected, 1e-12)


@given(architecture=convex_architectures, seed=seeds, place=st.floats(0, 1))
def test_convex_along_segments(make, architecture, seed, place):
    net = make(seed, **architecture)
    assert net.is_convex
    start, end = 3 * points(40, seed), 3 * points(40, seed + 1)
    between = net((1 - place) * start + place * end)
    chord = (1 - place) * net(start) + place * net(end)
    assert (between - chord).max() <= 1e-9 * chord.abs().max()


@given(architecture=convex_architectures, seed=seeds)
def test_gradient_gives_a_lower_bound(make, architecture, seed):
    """Convexity once more, f(y) >= f(x) + <grad f(x), y - x>."""
    net = make(seed, **architecture)
    x, y = points(40, seed), points(40, seed + 1)
    scores, keys = net.scores_and_keys(x)
    tangent = scores + torch.einsum("ncd,nd->nc", keys, y - x)
    assert (tangent - net(y)).max() <= 1e-9 * scores.abs().max()


@pytest.mark.parametrize("activation", ["soft_leaky_relu", "leaky_relu", "relu"])
def test_not_convex_without_rectifier(make, activation):
    net = make(hidden_sizes=[6, 6], rectifier=None, activation=activation)
    assert not net.is_convex
    start, end = points(200, 0), points(200, 1)
    excess = net((start + end) / 2) - (net(start) + net(end)) / 2
    assert excess.max() > 0.05


@given(
    architecture=architectures,
    activation=st.sampled_from(["leaky_relu", "relu"]),
    seed=seeds,
    factor=st.floats(1e-6, 1e6),
)
def test_homogeneous_without_bias(make, architecture, activation, seed, factor):
    """f(t x) = t f(x), gradients do not change, and <grad f(x), x> = f(x)."""
    net = make(seed, **architecture | {"bias": False, "activation": activation})
    assert net.is_homogeneous
    x = points(8, seed)
    scores, keys = net.scores_and_keys(x)
    scaled_scores, scaled_keys = net.scores_and_keys(factor * x)
    assert_close(scaled_scores / factor, scores, 1e-10)
    assert_close(scaled_keys, keys, 1e-10)
    assert_close(torch.einsum("ncd,nd->nc", keys, x), scores, 1e-10)
    assert not net(torch.zeros(1, D, dtype=torch.float64)).any()


@pytest.mark.parametrize(
    ("options", "homogeneous"),
    [
        ({"activation": "leaky_relu", "bias": False}, True),
        ({"activation": "relu", "bias": False}, True),
        ({"activation": "leaky_relu", "bias": True}, False),
        ({"activation": "soft_leaky_relu", "bias": False}, False),
    ],
)
def test_homogeneous_exactly_where_claimed(make, options, homogeneous):
    net = make(hidden_sizes=[6], **options)
    x = points(20, 0)
    gap = (net(3 * x) - 3 * net(x)).abs().max()
    assert net.is_homogeneous == homogeneous
    assert (gap < 1e-9) == homogeneous


@given(architecture=architectures, seed=seeds)
def test_parameters_learn_through_the_gradient(make, jacobian, architecture, seed):
    """Differentiating the algebra gives what create_graph gives."""
    net = make(seed, **architecture)
    x, target = points(6, seed), points(6, seed + 1)[:, None]

    def gradients(keys):
        loss = (keys - target).square().mean()
        found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        return [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(net.parameters(), found, strict=True)
        ]

    by_algebra = gradients(net.scores_and_keys(x)[1])
    by_autograd = gradients(jacobian(net, x, create_graph=True))
    # relu may have set all weights of a layer to zero.
    if architecture["rectifier"] != "relu":
        assert any(gradient.any() for gradient in by_autograd)
    for ours, theirs in zip(by_algebra, by_autograd, strict=True):
        assert_close(ours, theirs)


def test_scale_multiplies_values_and_keys(make):
    x = points(4, 0)
    one, five = (make(hidden_sizes=[6], out_features=2, scale=s) for s in (1.0, 5.0))
    for small, large in zip(one.scores_and_keys(x), five.scores_and_keys(x)):  # noqa: B905
        torch.testing.assert_close(large, 5 * small)
    torch.testing.assert_close(five(x), 5 * one(x))


def test_set_linear_adds_that_linear_function(make):
    net = make(hidden_sizes=[6, 6], out_features=2, inject_output=True, scale=3.0)
    x = points(4, 0)
    weight = points(2, 1)
    net.set_linear(torch.zeros(2, D))
    scores, keys = net.scores_and_keys(x)
    net.set_linear(weight)
    with_linear, with_weight = net.scores_and_keys(x)
    torch.testing.assert_close(with_linear, scores + x @ weight.T)
    torch.testing.assert_close(with_weight, keys + weight)


def test_set_linear_needs_an_injection(make):
    net = make(hidden_sizes=[6, 6], inject_every=1)
    with pytest.raises(ValueError, match="inject_output=True"):
        net.set_linear(torch.zeros(1, D))


def test_defaults():
    net = SupportNet(D, [6, 6, 6])
    assert isinstance(net.activation, SoftLeakyReLU)
    assert net.rectifier == "softplus"
    assert list(net.injections) == ["0", "1"]
    assert net.first.bias is not None
    assert net(torch.zeros(2, D)).shape == (2, 1)


@pytest.mark.parametrize("size", [1e-30, 1e15])
def test_far_and_near_queries_give_numbers(make, size):
    net = make(dtype=torch.float32, hidden_sizes=[6, 6], out_features=2)
    for output in net.scores_and_keys(size * points(4, 0, torch.float32)):
        assert output.isfinite().all()
