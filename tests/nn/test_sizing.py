import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn import KeyNet, SupportNet, budget_widths, count_parameters


def n_parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    in_features=st.integers(1, 6),
    out_features=st.integers(1, 4),
    inject_every=st.sampled_from([None, 1, 2, 3]),
)
def test_count_is_that_of_the_net(widths, in_features, out_features, inject_every):
    shape = {"in_features": in_features, "inject_every": inject_every}
    count = count_parameters(widths, out_features=out_features, **shape)
    assert count == n_parameters(
        SupportNet(in_features, widths, out_features, inject_every=inject_every)
    )
    heads = count_parameters(widths, out_features=out_features * in_features, **shape)
    assert heads == n_parameters(
        KeyNet(in_features, widths, out_features, inject_every=inject_every)
    )


@given(
    depth=st.integers(1, 5),
    fraction=st.floats(0.02, 0.5),
    out_features=st.sampled_from([1, 10, 32]),
    inject_every=st.sampled_from([None, 1, 2]),
    taper=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)
def test_budget_is_met_up_to_rounding(
    depth, fraction, out_features, inject_every, taper
):
    n_keys, d = 50_000, 32
    widths = budget_widths(
        n_keys,
        d,
        depth=depth,
        fraction=fraction,
        out_features=out_features,
        inject_every=inject_every,
        taper=taper,
    )

    def count(shift):
        return count_parameters(
            [width + shift for width in widths],
            in_features=d,
            out_features=out_features,
            inject_every=inject_every,
        )

    assert len(widths) == depth
    assert all(width % 4 == 0 and width >= 4 for width in widths)
    assert all(type(width) is int for width in widths)
    # Rounding moves each width by two at most.
    assert count(-2) <= fraction * n_keys * d <= count(2)


def test_equal_widths_by_default():
    assert len(set(budget_widths(10_000, 64, depth=4, fraction=0.1))) == 1


def test_taper_is_geometric():
    widths = budget_widths(10**6, 128, depth=4, fraction=0.1, taper=1 / 8)
    np.testing.assert_allclose(np.divide(widths[1:], widths[:-1]), 0.5, rtol=0.01)


@pytest.mark.parametrize("inject_every", [None, 1])
def test_at_least_four(inject_every):
    """A budget that the biases and the output alone use up."""
    widths = budget_widths(
        10, 8, depth=3, fraction=0.01, out_features=64, inject_every=inject_every
    )
    assert widths == [4, 4, 4]


@pytest.mark.parametrize(
    "wrong", [{"depth": 0}, {"fraction": 0.0}, {"fraction": -1.0}, {"taper": 0.0}]
)
def test_bad_parameters(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}={wrong[name]}"):
        budget_widths(100, 8, **{"depth": 2, "fraction": 0.1} | wrong)
