import math

import pytest
import torch

from sk_amips.nn import KeyNet, SupportNet, lecun_normal, principled_non_negative


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_lecun_normal_law():
    weight = lecun_normal((400, 250), generator=seeded())
    assert weight.shape == (400, 250)
    assert abs(weight.mean()) < 1e-3
    assert weight.var() == pytest.approx(1 / 250, rel=0.02)
    # Cut off at two standard deviations of the normal before the cut.
    bound = 2 / math.sqrt(250) / 0.8796256610342398
    assert weight.abs().max() <= bound * 1.0001
    assert weight.abs().max() > 0.98 * bound


def log_normal_moments(weight):
    """Mean and variance, through the logarithm: those of a sample settle slowly."""
    log = weight.double().log()
    mean = (log.mean() + log.var() / 2).exp()
    return float(mean), float(mean**2 * torch.expm1(log.var()))


@pytest.mark.parametrize("output", [False, True])
@pytest.mark.parametrize("fan_in", [1, 8, 64])
def test_principled_moments(fan_in, output):
    weight, bias = principled_non_negative(
        (2**20 // fan_in, fan_in), output=output, generator=seeded()
    )
    if output:
        mean, variance, expected_bias = (fan_in**2 + fan_in) ** -0.5, 0.5 / fan_in, 0
    else:
        denominator = 6 * (math.pi - 1) + (fan_in - 1) * (
            3 * math.sqrt(3) + 2 * math.pi - 6
        )
        mean = math.sqrt(6 * math.pi / (fan_in * denominator))
        variance = 1 / fan_in
        expected_bias = math.sqrt(3 * fan_in / denominator)
    assert weight.shape == (2**20 // fan_in, fan_in)
    assert log_normal_moments(weight) == pytest.approx((mean, variance), rel=0.03)
    assert bias == pytest.approx(expected_bias)


@pytest.mark.parametrize("output", [False, True])
def test_principled_keeps_the_spread(output):
    """Where signals vary by 1 and correlate by 1/2, so they do one layer on.

    A hidden layer reads their positive parts; the output layer is made for the signals
    themselves.
    """
    n = 64
    if output:
        variance, square, covariance = 1.0, 1.0, 0.5
    else:
        # Moments of the positive parts of two normals of correlation 1/2.
        product = (math.sqrt(3) / 2 + math.pi / 3) / (2 * math.pi)
        mean = 1 / math.sqrt(2 * math.pi)
        variance, square, covariance = 0.5 - mean**2, 0.5, product - mean**2
    weight, _ = principled_non_negative((20_000, n), output=output, generator=seeded())
    mean, spread = log_normal_moments(weight)
    common = mean**2 * (n * variance + n * (n - 1) * covariance)
    assert common == pytest.approx(0.5, rel=0.03)
    assert common + n * spread * square == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("draw", [lecun_normal, principled_non_negative])
def test_draws_are_reproducible(draw, keeps_global_rng):
    first, again, other = (draw((5, 7), generator=seeded(s)) for s in (3, 3, 4))
    first, again, other = (
        w if isinstance(w, torch.Tensor) else w[0] for w in (first, again, other)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", [KeyNet, SupportNet])
def test_nets_are_reproducible(kind, keeps_global_rng):
    nets = [kind(6, [8, 8], 2, generator=seeded(s)) for s in (1, 1, 2)]
    first, again, other = (net.state_dict() for net in nets)
    for name in first:
        assert torch.equal(first[name], again[name])
    differ = [name for name in first if not torch.equal(first[name], other[name])]
    assert differ == [name for name in first if name.endswith("raw_weight")]


@pytest.mark.parametrize("kind", [KeyNet, SupportNet])
def test_without_generator_torch_seed_decides(kind):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = kind(6, [8], 2).state_dict()
        torch.manual_seed(5)
        again = kind(6, [8], 2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("rectifier", ["softplus", "exp", "abs", "relu", None])
@pytest.mark.parametrize("init", ["log_normal", "principled"])
def test_principled_weights_reach_the_layers(rectifier, init):
    """The weights in use, after the rectifier, are those that were drawn."""
    same = {"init": init, "inject_every": None}
    net = SupportNet(6, [32, 32], 3, rectifier=rectifier, generator=seeded(), **same)
    plain = SupportNet(6, [32, 32], 3, rectifier=None, generator=seeded(), **same)
    for layer, expected in zip(net.layers, plain.layers, strict=True):
        assert (layer.weight > 0).all()
        torch.testing.assert_close(layer.weight, expected.raw_weight)
    hidden, output = (layer.weight.log().mean() for layer in net.layers)
    assert hidden > output + 0.3
    bias = principled_non_negative((1, 32))[1] if init == "principled" else 0.0
    torch.testing.assert_close(net.layers[0].bias, torch.full((32,), bias))
    for layer in (net.first, net.layers[-1]):
        assert not layer.bias.any()


@pytest.mark.parametrize("rectifier", ["softplus", None])
def test_plain_parameters_are_lecun_normal(rectifier):
    net = SupportNet(
        50, [200, 300], 200, rectifier=rectifier, init="plain", generator=seeded()
    )
    for layer in [net.first, *net.layers, *net.injections.values()]:
        fan_in = layer.raw_weight.shape[1]
        assert layer.raw_weight.detach().var() * fan_in == pytest.approx(1, rel=0.05)
        assert layer.bias is None or not layer.bias.any()
