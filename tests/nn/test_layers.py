import numpy as np
import pytest
import torch

from sk_amips.nn import KeyNet, LeakyReLU, SupportNet, injected_layers
from sk_amips.nn._layers import Affine, InjectedStack


def stack(hidden_sizes=(7, 6, 5), **changes):
    options = {
        "activation": "leaky_relu",
        "rectifier": "softplus",
        "inject_every": 2,
        "inject_output": True,
        "bias": True,
        "init": "plain",
        "generator": None,
    }
    return InjectedStack(4, hidden_sizes, 3, **options | changes)


@pytest.mark.parametrize(
    ("n_hidden", "every", "expected"),
    [
        (1, 1, []),
        (1, None, []),
        (2, 1, [0]),
        (2, 2, []),
        (3, 2, [1]),
        (4, 1, [0, 1, 2]),
        (5, 2, [1, 3]),
        (8, 3, [2, 5]),
        (8, 7, [6]),
        (8, 8, []),
        (4, None, []),
    ],
)
def test_injected_layers(n_hidden, every, expected):
    assert injected_layers(n_hidden, every) == expected


@pytest.mark.parametrize("inject_output", [False, True])
@pytest.mark.parametrize("every", [None, 1, 2, 3])
def test_injections_are_where_they_should(every, inject_output):
    net = stack((5, 5, 5, 5), inject_every=every, inject_output=inject_output)
    expected = injected_layers(4, every) + ([3] if inject_output else [])
    assert [int(i) for i in net.injections] == expected


@pytest.mark.parametrize(
    ("rectifier", "function"),
    [
        ("softplus", lambda w: np.log1p(np.exp(w))),
        ("exp", np.exp),
        ("abs", np.abs),
        ("relu", lambda w: np.maximum(w, 0)),
        (None, lambda w: w),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_affine(randomize, rng, rectifier, function, bias):
    layer = randomize(Affine(4, 3, bias=bias, rectifier=rectifier))
    x = rng.normal(size=(6, 4)).astype(np.float32)
    weight = function(layer.raw_weight.detach().numpy())
    np.testing.assert_allclose(layer.weight.detach(), weight, rtol=1e-5)
    expected = x @ weight.T + (layer.bias.detach().numpy() if bias else 0)
    got = layer(torch.from_numpy(x)).detach()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert f"4, 3, bias={bias}, rectifier={rectifier!r}" in repr(layer)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("inject_output", [False, True])
@pytest.mark.parametrize("every", [None, 1, 2])
@pytest.mark.parametrize("hidden_sizes", [(7,), (7, 6), (7, 6, 5)])
def test_forward_is_the_recursion(
    randomize, rng, hidden_sizes, every, inject_output, bias
):
    """Against z <- a(W z + V x + b) in plain numpy."""
    net = stack(
        hidden_sizes, inject_every=every, inject_output=inject_output, bias=bias
    ).double()
    randomize(net)
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    x = rng.normal(size=(9, 4))

    value = x @ state["first.raw_weight"].T + state.get("first.bias", 0)
    for i in range(len(hidden_sizes)):
        z = np.where(value > 0, value, 0.1 * value)
        value = z @ np.log1p(np.exp(state[f"layers.{i}.raw_weight"])).T
        value = value + state.get(f"layers.{i}.bias", 0)
        if f"injections.{i}.raw_weight" in state:
            value = value + x @ state[f"injections.{i}.raw_weight"].T
    np.testing.assert_allclose(net(torch.from_numpy(x)).detach(), value, rtol=1e-10)


def test_preactivations_end_with_the_output(randomize):
    net = randomize(stack())
    x = torch.ones(2, 4)
    values = net.preactivations(x)
    assert [tuple(value.shape) for value in values] == [(2, 7), (2, 6), (2, 5), (2, 3)]
    assert torch.equal(values[-1], net(x))


def test_rows_of_the_jacobian(randomize):
    net = randomize(stack())
    values = net.preactivations(torch.linspace(-1, 1, 20).reshape(5, 4))
    full = net.jacobian_rows(values[:-1])
    rows = torch.tensor([[2, 0], [1, 1], [0, 2], [2, 1], [0, 0]])
    some = net.jacobian_rows(values[:-1], rows)
    assert full.shape == (5, 3, 4)
    torch.testing.assert_close(some, full.take_along_dim(rows[:, :, None], 1))


def test_names_of_the_parameters():
    assert set(stack().state_dict()) == {
        "first.raw_weight",
        "first.bias",
        *(f"layers.{i}.{kind}" for i in range(3) for kind in ("raw_weight", "bias")),
        "injections.1.raw_weight",
        "injections.2.raw_weight",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_sizes": []}, "hidden_sizes must hold at least one width"),
        ({"rectifier": "square"}, r"rectifier must be one of .*got 'square'"),
        ({"init": "zeros"}, "init must be 'plain', .*got 'zeros'"),
        ({"activation": "gelu"}, r"activation must be one of .*got 'gelu'"),
    ],
)
def test_bad_parameters(changes, message):
    with pytest.raises(ValueError, match=message):
        stack(**changes)


@pytest.mark.parametrize("kind", [KeyNet, SupportNet])
def test_state_survives_a_round_trip(kind, randomize):
    net = randomize(kind(4, [6, 6], 2, activation=LeakyReLU(0.2), scale=3.0))
    other = kind(4, [6, 6], 2, activation=LeakyReLU(0.2))
    other.load_state_dict(net.state_dict())
    x = torch.ones(1, 4)
    assert torch.equal(other(x), net(x))
