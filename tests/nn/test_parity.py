"""The networks against reference values that another implementation computed."""

import re

import numpy as np
import pytest
import torch
from scipy.special import erf, erfinv

from sk_amips.nn import (
    KeyNet,
    RadialSupportNet,
    SupportNet,
    budget_widths,
    principled_non_negative,
)

D, HIDDEN = 16, [32, 32, 32]
SUPPORT_TAGS = [
    f"support_c{c}_{rectifier}_{init}{homogenized}"
    for c in (1, 3)
    for rectifier in ("softplus", "identity")
    for init in ("plain", "principled")
    for homogenized in ("", "_homogenized")
]
KEY_TAGS = ["key_c1", "key_c1_residual", "key_c3"]


def build(tag):
    c = int(re.search(r"_c(\d)", tag)[1])
    if tag.startswith("key"):
        return KeyNet(D, HIDDEN, c, inject_every=2, residual="residual" in tag)
    rectifier = "softplus" if "softplus" in tag else None
    return SupportNet(D, HIDDEN, c, inject_every=2, rectifier=rectifier)


def load(tag, reference):
    """Network of that tag with the weights of the file."""

    def stored(name):
        return torch.from_numpy(reference[f"{tag}/{name}"])

    net = build(tag)
    state = {
        "first.raw_weight": stored("W_in").T,
        "first.bias": stored("b_in"),
        "injections.1.raw_weight": stored("W_inject_1").T,
        "scale": torch.tensor(1.0),
    }
    for i in range(3):
        state[f"layers.{i}.raw_weight"] = stored(f"W_hidden_{i}").T
        state[f"layers.{i}.bias"] = stored(f"b_hidden_{i}")
    net.load_state_dict(state, strict=True)
    return RadialSupportNet(net) if "homogenized" in tag else net


def assert_matches(got, expected):
    """To 1e-5, relative or of the largest value: some sums cancel in float32."""
    if got.shape[1] == 1:  # the file has no axis for a single output
        got = got.squeeze(1)
    assert got.shape == expected.shape
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-5 * size)


def test_all_tags_are_compared(reference_parity):
    tags = {name.split("/")[0] for name in reference_parity} - {"x", "x_unit"}
    assert tags == {*SUPPORT_TAGS, *KEY_TAGS}


@pytest.mark.parametrize("tag", SUPPORT_TAGS + KEY_TAGS)
def test_value_and_key_by_algebra(reference_parity, tag):
    net = load(tag, reference_parity)
    with torch.no_grad():
        values, keys = net.scores_and_keys(torch.from_numpy(reference_parity["x"]))
        only_values = net.scores(torch.from_numpy(reference_parity["x"]))
    assert_matches(values, reference_parity[f"{tag}/value"])
    assert_matches(only_values, reference_parity[f"{tag}/value"])
    assert_matches(keys, reference_parity[f"{tag}/gradient"])


@pytest.mark.parametrize("tag", SUPPORT_TAGS)
def test_gradient_by_autograd(reference_parity, jacobian, tag):
    net = load(tag, reference_parity)
    gradient = jacobian(net, torch.from_numpy(reference_parity["x"]))
    assert_matches(gradient, reference_parity[f"{tag}/gradient"])


@pytest.mark.parametrize("tag", KEY_TAGS)
def test_key_is_the_output(reference_parity, tag):
    net = load(tag, reference_parity)
    with torch.no_grad():
        keys = net(torch.from_numpy(reference_parity["x"]))
    assert_matches(keys, reference_parity[f"{tag}/gradient"])


@pytest.mark.parametrize("tag", [t for t in SUPPORT_TAGS if t.endswith("_plain")])
def test_radial_net_agrees_with_its_net_on_the_sphere(reference_parity, tag):
    net = load(tag, reference_parity)
    unit = torch.from_numpy(reference_parity["x_unit"])
    with torch.no_grad():
        torch.testing.assert_close(RadialSupportNet(net)(unit), net(unit))


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("c", [1, 3])
def test_principled_law(reference_parity, c, layer):
    """The log-normal law behind the file is that of ``principled_non_negative``.

    Both initialisations of the file come from the same random numbers: the plain one
    is a normal cut off at two standard deviations, and gives back the normal draws of
    which the logarithm of the principled one is an affine function.
    """
    name = f"W_hidden_{layer}"
    fan_in = 32
    plain = reference_parity[f"support_c{c}_identity_plain/{name}"].astype(np.float64)
    weight = reference_parity[f"support_c{c}_identity_principled/{name}"]
    cut = plain * np.sqrt(fan_in) * 0.87962566103423978
    draws = np.sqrt(2) * erfinv(erf(cut / np.sqrt(2)) / erf(np.sqrt(2)))
    # The tails of the inverse lose digits.
    well = np.abs(draws) < 2.5
    expected = np.polyfit(draws[well], np.log(weight[well].astype(np.float64)), 1)

    shape = (64, fan_in)
    seeds = (torch.Generator().manual_seed(3) for _ in range(2))
    normal = torch.randn(shape, generator=next(seeds))
    ours, bias = principled_non_negative(
        shape, output=layer == 2, generator=next(seeds)
    )
    law = np.polyfit(normal.flatten().double(), ours.flatten().double().log(), 1)
    np.testing.assert_allclose(law, expected, rtol=1e-4)
    np.testing.assert_allclose(
        reference_parity[f"support_c{c}_identity_principled/b_hidden_{layer}"],
        bias,
        rtol=1e-6,
    )


@pytest.mark.parametrize("tag", [t for t in SUPPORT_TAGS if t.endswith("principled")])
def test_biases_of_a_new_net(reference_parity, tag):
    fresh = build(tag)
    loaded = load(tag, reference_parity)
    for ours, theirs in zip(
        [fresh.first, *fresh.layers], [loaded.first, *loaded.layers], strict=True
    ):
        torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-6, atol=0)


def test_sizing_rule(reference_widths):
    assert len(reference_widths) == 324
    every = {False: None, True: 1}
    for row in reference_widths:
        inject = row["inject"]
        widths = budget_widths(
            row["n_keys"],
            row["dim"],
            depth=row["depth"],
            fraction=row["parameters_fraction"],
            out_features=row["output_dim"],
            inject_every=every[inject] if isinstance(inject, bool) else inject,
        )
        assert [row["dim"], *widths, row["output_dim"]] == row["dims"], row
