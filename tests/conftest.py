"""Fixtures that several test files use."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# The same examples in every run: a failure comes from a change in the code.
settings.register_profile("sk_amips", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("sk_amips")

# The matrices are small: on a busy machine threads would wait for each other.
torch.set_num_threads(1)

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the reference data, which lies beside the checkout."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            "reference data needs the folder ../shared/data beside the checkout"
        )
    return folder


@pytest.fixture(scope="session")
def reference_parity(shared_data):
    """Weights, inputs, values and gradients of the reference networks."""
    with np.load(shared_data / "reference_parity.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def reference_widths(shared_data):
    """Rows of the reference sizing rule."""
    return json.loads((shared_data / "reference_widths.json").read_text())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def keeps_global_rng():
    """Fail a test that changes the global random state of torch or numpy."""
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy state is looked at
    yield
    assert torch.equal(torch.get_rng_state(), torch_state)
    for now, before in zip(np.random.get_state(), numpy_state, strict=True):  # noqa: NPY002
        assert np.array_equal(now, before)


@pytest.fixture(scope="session")
def randomize():
    """Redraw every parameter of a module, biases included, and return the module."""

    @torch.no_grad()
    def redraw(module, seed=0, std=0.5):
        generator = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            draw = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(std * draw)
        return module

    return redraw


@pytest.fixture(scope="session")
def jacobian():
    """Gradients of all outputs by autograd, ``(n, c, d)``, for ``(n, d) -> (n, c)``."""

    def differentiate(function, x, create_graph=False):
        x = x.detach().clone().requires_grad_()
        outputs = function(x)
        rows = [
            torch.autograd.grad(
                column.sum(), x, retain_graph=True, create_graph=create_graph
            )[0]
            for column in outputs.unbind(dim=1)
        ]
        return torch.stack(rows, dim=1)

    return differentiate


@pytest.fixture(scope="session")
def brute_force():
    """Scores (extended precision) and indices of the k best, ties by lowest index."""

    def search(keys, queries, k):
        keys, queries = (np.asarray(a).astype(np.longdouble) for a in (keys, queries))
        scores = (queries[:, None] * keys).sum(axis=2)
        indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, indices, axis=1), indices

    return search
