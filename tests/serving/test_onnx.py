"""ONNX files and torch modules say what the estimators say."""

import numpy as np
import pytest
import torch

from sk_amips import (
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)
from sk_amips.serving import _onnx

rng = np.random.default_rng(0)
KEYS = (3 * rng.normal(size=(200, 6))).astype(np.float32)
QUERIES = rng.normal(size=(300, 6)).astype(np.float32)
EXTREME = np.concatenate(
    [QUERIES, 1e-30 * QUERIES[:9], 1e30 * QUERIES[:9], np.zeros((1, 6))]
)
EXTREME = EXTREME.astype(np.float32)
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
ROUTERS = {
    "support": SupportNetRegressor(KEYS, **SMALL),
    "strict": SupportNetRegressor(KEYS, convexity="strict", **SMALL),
    "lists": SupportNetRegressor(KEYS, n_partitions=7, **SMALL),
    "optimistic base": SupportNetRegressor(
        KEYS, n_partitions=7, base_score="optimistic", **SMALL
    ),
    "key": KeyNetRegressor(KEYS, residual=True, **SMALL),
    "key of each list": KeyNetRegressor(KEYS, n_partitions=7, **SMALL),
    "shared head": KeyNetRegressor(KEYS, n_partitions=7, shared_head=True, **SMALL),
    "linear": LinearRouter(KEYS, n_partitions=7, random_state=0),
    "low rank": LinearRouter(KEYS, n_partitions=7, rank=3, random_state=0),
    "centroid": CentroidRouter(KEYS, n_partitions=7, random_state=0),
    "optimistic": OptimisticRouter(KEYS, n_partitions=7, random_state=0),
}


@pytest.fixture(scope="module", params=ROUTERS)
def router(request):
    return ROUTERS[request.param].fit(QUERIES)


def methods(router):
    """Names of what can be exported, and the methods."""
    found = {"predict": router.predict, "partitions": router.predict_partitions}
    if hasattr(router, "transform"):
        found["transform"] = router.transform
    return found


def assert_close(found, expected, X):
    """Within a millionth of what scores of such queries can be, or keys."""
    assert found.shape == expected.shape
    size = np.full((len(X), 1), np.linalg.norm(KEYS, axis=1).max())
    if found.shape != X.shape:  # scores, not keys
        norms = np.linalg.norm(X.astype(np.float64), axis=1, keepdims=True)
        size *= np.where(norms > 0, norms, 1)
    size = size[:, 0] if found.ndim == 1 else size
    assert (np.abs(found - expected) <= 1e-5 * size).all()


def test_torch_modules(router):
    for what, method in methods(router).items():
        module = router.to_torch(what)
        with torch.no_grad():
            found = module(torch.from_numpy(EXTREME)).numpy()
        assert_close(found, method(EXTREME), EXTREME)
        assert not module.training
        # What becomes of the module is nothing to the router.
        before = method(QUERIES[:3])
        for tensor in module.state_dict().values():
            tensor.zero_()
        np.testing.assert_array_equal(method(QUERIES[:3]), before)


def test_torch_export(router):
    for what, method in methods(router).items():
        queries = {0: torch.export.Dim("n")}
        program = torch.export.export(
            router.to_torch(what), (torch.zeros(2, 6),), dynamic_shapes=(queries,)
        )
        found = program.module()(torch.from_numpy(QUERIES)).numpy()
        assert_close(found, method(QUERIES), QUERIES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch says: export
def test_traced_modules(router):
    traced = torch.jit.trace(router.to_torch("partitions"), torch.ones(2, 6))
    found = traced(torch.from_numpy(QUERIES)).numpy()
    assert_close(found, router.predict_partitions(QUERIES), QUERIES)


@pytest.mark.slow
def test_onnx(router, tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for what, method in methods(router).items():
        path = tmp_path / f"{what}.onnx"
        router.to_onnx(path, what)
        session = runtime.InferenceSession(path)
        (output,) = session.get_outputs()
        for X in (EXTREME, QUERIES[:1], QUERIES[:0]):
            (found,) = session.run(None, {"queries": X})
            if len(X):
                assert_close(found, method(X), X)
            assert len(found) == len(X)
        assert output.name == ("keys" if found.shape == (0, 6) else "scores")
        model = onnx.load(path)
        assert model.opset_import[0].version == _onnx.OPSET
        onnx.checker.check_model(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{what}.onnx" for what in sorted(methods(router))
    ]


def test_one_onnx_file(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    router = ROUTERS["lists"].fit(QUERIES)
    router.to_onnx(tmp_path / "a.onnx", what="transform")
    (found,) = runtime.InferenceSession(tmp_path / "a.onnx").run(
        None, {"queries": EXTREME}
    )
    assert_close(found, router.transform(EXTREME), EXTREME)


def test_wrong_names(tmp_path):
    router = ROUTERS["linear"].fit(QUERIES)
    with pytest.raises(ValueError, match="LinearRouter maps no queries"):
        router.to_onnx(tmp_path / "a.onnx", what="transform")
    with pytest.raises(ValueError, match="what must be one of"):
        router.to_torch("score")
    assert not any(tmp_path.iterdir())
