import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn._rectifiers import RECTIFIERS

NAMED = [name for name in RECTIFIERS if name is not None]


def test_names():
    assert set(RECTIFIERS) == {"softplus", "exp", "abs", "relu", None}


@pytest.mark.parametrize("name", NAMED)
@given(parameter=st.floats(-80, 80))
def test_weights_are_non_negative(name, parameter):
    rectifier = RECTIFIERS[name]
    assert rectifier.non_negative
    assert rectifier.forward(torch.tensor(parameter)) >= 0


def test_none_is_the_identity_and_says_so():
    rectifier = RECTIFIERS[None]
    x = torch.tensor([-2.0, 0.0, 3.0])
    assert not rectifier.non_negative
    assert torch.equal(rectifier.forward(x), x)
    assert torch.equal(rectifier.inverse(x), x)


@pytest.mark.parametrize("name", RECTIFIERS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-8)]
)
def test_round_trip(name, dtype, tolerance):
    rectifier = RECTIFIERS[name]
    weight = torch.logspace(-30, 6, 145, dtype=dtype)
    parameter = rectifier.inverse(weight)
    assert parameter.isfinite().all()
    torch.testing.assert_close(
        rectifier.forward(parameter), weight, rtol=tolerance, atol=0
    )


@pytest.mark.parametrize("name", NAMED)
def test_gradient_is_finite(name):
    x = torch.tensor([-60.0, -1.0, 0.5, 60.0], dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(RECTIFIERS[name].forward(x).sum(), x)
    assert gradient.isfinite().all()
    assert gradient[2] > 0
