import math

import pytest
import torch
from torch import nn

from sk_amips.nn import LeakyReLU, ReLU, SoftLeakyReLU, SupportNet, make_activation

ACTIVATIONS = [
    SoftLeakyReLU(),
    SoftLeakyReLU(slope=0.3, beta=2.0),
    LeakyReLU(),
    LeakyReLU(slope=0.4),
    ReLU(),
]


@pytest.fixture(params=ACTIVATIONS, ids=repr)
def activation(request):
    return request.param


@pytest.fixture
def grid():
    """Points on both sides of the bend, zero among them."""
    ends = torch.tensor([-100.0, -3.0, 0.0, 3.0, 100.0], dtype=torch.float64)
    middle = torch.linspace(-2, 2, 400, dtype=torch.float64)
    return torch.cat([ends, middle]).sort().values


def test_soft_leaky_relu_is_its_formula(grid):
    expected = [0.2 * x + 0.8 * math.log1p(math.exp(3 * x)) / 3 for x in grid.tolist()]
    torch.testing.assert_close(
        SoftLeakyReLU(slope=0.2, beta=3.0)(grid),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-8,
        atol=1e-8,
    )


@pytest.mark.parametrize(("net", "slope"), [(LeakyReLU(0.4), 0.4), (ReLU(), 0.0)])
def test_leaky_relu_is_a_maximum(grid, net, slope):
    assert torch.equal(net(grid), torch.maximum(grid, slope * grid))


def test_defaults():
    assert (SoftLeakyReLU().slope, SoftLeakyReLU().beta) == (0.1, 20.0)
    assert LeakyReLU().slope == 0.1


def test_soft_tends_to_hard(grid):
    gap = (SoftLeakyReLU(0.1, beta=1000.0)(grid) - LeakyReLU(0.1)(grid)).abs().max()
    assert gap <= 0.9 * math.log(2) / 1000 + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivative_equals_autograd(activation, grid, dtype):
    x = grid.to(dtype).requires_grad_()
    (expected,) = torch.autograd.grad(activation(x).sum(), x)
    derivative = activation.derivative(x.detach())
    assert derivative.dtype == dtype
    torch.testing.assert_close(derivative, expected, rtol=1e-6, atol=1e-8)


def test_convex_and_non_decreasing(activation, grid):
    slopes = torch.diff(activation(grid)) / torch.diff(grid)
    # torch's softplus jumps by exp(-20) / beta where it turns linear.
    assert (torch.diff(slopes) >= -1e-6).all()
    assert (slopes >= 0).all()
    assert (torch.diff(activation.derivative(grid)) >= 0).all()


def test_homogeneous_exactly_where_claimed(activation, grid):
    x = grid[grid.abs() < 3]
    gap = (activation(5 * x) - 5 * activation(x)).abs().max()
    assert (gap < 1e-12) == activation.is_homogeneous


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("soft_leaky_relu", SoftLeakyReLU),
        ("leaky_relu", LeakyReLU),
        ("relu", ReLU),
    ],
)
def test_make_by_name(name, kind):
    assert type(make_activation(name)) is kind


def test_make_passes_a_module_through():
    module = nn.Identity()
    assert make_activation(module) is module


def test_make_rejects_an_unknown_name():
    with pytest.raises(ValueError, match=r"one of .*'leaky_relu'.*got 'gelu'"):
        make_activation("gelu")


def test_activation_of_ones_own(jacobian, randomize):
    class Square(nn.Module):
        is_homogeneous = False

        def forward(self, x):
            return x.square()

        def derivative(self, x):
            return 2 * x

    net = randomize(SupportNet(3, [4, 4], 2, activation=Square()))
    x = torch.tensor([[0.3, -0.2, 0.5]])
    torch.testing.assert_close(net.scores_and_keys(x)[1], jacobian(net, x))
