import numpy as np
import pytest
import torch

from sk_amips.exact._codes import Float32Codes, Int8Codes
from sk_amips.index import _list_scores
from sk_amips.index._engine import directions
from sk_amips.index._list_scores import Int8Affine, Stack
from sk_amips.nn import SupportNet


@pytest.fixture(params=[Int8Codes, Float32Codes])
def coding(request, monkeypatch):
    monkeypatch.setattr(_list_scores, "fastest_on_cpu", lambda d: request.param)
    return request.param


@pytest.fixture
def net():
    generator = torch.Generator().manual_seed(0)
    options = {"rectifier": None, "inject_output": True, "generator": generator}
    return SupportNet(11, (32, 24), 7, **options)


def test_scores_are_those_of_the_network(coding, net, rng):
    unit = directions(rng.normal(size=(40, 11)))
    with torch.no_grad():
        expected = net(torch.from_numpy(unit)).T
    atol = 1e-6 if coding is Float32Codes else 0.02 * expected.abs().max()
    torch.testing.assert_close(Stack.of(net)(unit), expected, rtol=0, atol=float(atol))


def test_one_query_has_the_scores_that_it_has_in_a_batch(coding, net, rng):
    unit = directions(rng.normal(size=(20, 11)))
    scores = Stack.of(net)(unit)
    for i in range(20):
        one = Stack.of(net)(unit[i : i + 1])
        assert one.shape == (7, 1)
        torch.testing.assert_close(one, scores[:, i : i + 1], rtol=1e-6, atol=1e-7)


def test_rows_of_zeros_in_8_bits(rng):
    weight = torch.from_numpy(rng.normal(size=(3, 5)).astype(np.float32))
    bias = torch.tensor([1.0, 2.0, 3.0])
    layer = Int8Affine(weight, bias)
    torch.testing.assert_close(layer(torch.zeros(2, 5)), bias.repeat(2, 1))
    np.testing.assert_array_equal(layer.of_one(np.zeros(5, np.float32)), bias.numpy())
