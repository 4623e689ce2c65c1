import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sk_amips import exact_search
from sk_amips.exact import _candidates, _choice, _scan, _search, _shortlist
from sk_amips.exact._candidates import Candidates
from sk_amips.exact._choice import codes_for
from sk_amips.exact._codes import BFloat16Codes, Float32Codes, Int8Codes

GROUP = 32
CODES = [Int8Codes, BFloat16Codes, Float32Codes]
D = 40


@pytest.fixture(params=CODES, ids=lambda codes: codes.__name__)
def codes(request):
    return request.param


@pytest.fixture(params=[*CODES, "Faiss"], ids=lambda x: getattr(x, "__name__", x))
def forced(monkeypatch, request):
    """Searches use these codes alone, or a short-list of Faiss."""
    if request.param == "Faiss":
        monkeypatch.setattr(_search, "shortlist_pays", lambda *args: True)
    else:
        monkeypatch.setattr(_scan, "codes_for", lambda *args: [request.param])


def rows_of(kind, rng, n):
    rows = rng.normal(size=(n, D))
    if kind == "norms":
        rows *= 10 ** rng.uniform(-8, 0, size=(n, 1))
    elif kind == "outlier":
        rows[:, 3] *= 300
    elif kind == "tiny":
        rows[n // 2 :] *= 1e-30
    elif kind == "zeros":
        rows[n // 2 :] = 0
    elif kind == "cancel":
        rows[:, 1::2] = -rows[:, ::2] * (1 + 1e-6 * rng.normal(size=(n, D // 2)))
    return rows


@pytest.mark.parametrize(
    "kind", ["plain", "norms", "outlier", "tiny", "zeros", "cancel"]
)
def test_products_are_within_their_bounds(rng, codes, kind):
    keys = rows_of(kind, rng, 4 * GROUP)
    keys /= np.linalg.norm(keys, axis=1).max()
    queries = rows_of(kind, rng, 50)
    queries = queries[queries.any(axis=1)]
    queries /= np.abs(queries).max(axis=1, keepdims=True)
    key_codes = codes.encode_keys(torch.from_numpy(keys.astype(np.float32)), GROUP)
    query_codes = codes.encode_queries(torch.from_numpy(queries.astype(np.float32)))
    products = codes.product(key_codes.codes, query_codes.codes).double()
    products = products.view(-1, GROUP, len(queries))
    if key_codes.scale is not None:
        products *= (key_codes.scale.double() * query_codes.scale)[:, None, None]
    true = torch.from_numpy(keys @ queries.T).view(-1, GROUP, len(queries))
    bound = torch.outer(key_codes.error, query_codes.size)
    bound += torch.outer(key_codes.size, query_codes.error)
    errors = (products - true).abs().amax(dim=1)
    assert (errors <= bound).all()
    # The bounds are of use: not a thousand times too large.
    if kind == "plain":
        assert (errors > bound / 1000).float().mean() > 0.9


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("kind", ["plain", "norms", "outlier", "tiny", "cancel"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_codes_find_the_same(rng, brute_force, forced, dtype, kind, k):
    keys = rows_of(kind, rng, 3000).astype(dtype)
    queries = rng.normal(size=(70, D))
    expected = brute_force(keys, queries, k)
    for max_memory in (2**19, None):
        scores, indices = exact_search(keys, queries, k, max_memory=max_memory)
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_allclose(scores, expected[0].astype(float), rtol=1e-9)


@pytest.mark.parametrize("d", [1, 3, 25])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16, ">f4"])
def test_any_width_and_type(rng, brute_force, forced, dtype, d):
    """Products of integers want widths that are multiples of eight."""
    keys = (2000 * rng.normal(size=(900, d))).astype(dtype)
    keys = keys[keys.any(axis=1)]
    queries = rng.normal(size=(50, d))
    scores, indices = exact_search(keys, queries, 50)
    expected = brute_force(keys, queries, 50)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0].astype(float), rtol=1e-12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_keys=st.integers(1, 200),
    n_queries=st.integers(1, 30),
    d=st.integers(1, 9),
    k=st.integers(1, 200),
    kind=st.sampled_from(["normal", "norms", "integers", "copies"]),
    seed=st.integers(0, 2**16),
)
def test_many_small_tiles(codes, brute_force, n_keys, n_queries, d, k, kind, seed):
    """Room for candidates runs out, thresholds rise, and tiles are cut off."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(n_keys, d))
    if kind == "norms":
        keys *= 10 ** rng.uniform(-6, 6, size=(n_keys, 1))
    elif kind == "integers":
        keys = rng.integers(-2, 3, size=(n_keys, d)).astype(float)
    elif kind == "copies":
        keys = keys[rng.integers(0, 1 + n_keys // 9, size=n_keys)]
    if not keys.any():
        keys[0] = 1
    queries = rng.normal(size=(n_queries, d))
    if kind == "integers":
        queries = rng.integers(-2, 3, size=(n_queries, d)).astype(float)
    k = min(k, n_keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_scan, "codes_for", lambda *args: [codes])
        patch.setattr(_scan, "_CPU_TILES", (64, 8, 2, 32))
        patch.setattr(_candidates, "places", lambda k: k + 3)
        patch.setattr(_candidates, "_CHUNK", {"cpu": 64})
        scores, indices = exact_search(keys, queries, k)
    expected = brute_force(keys, queries, k)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0].astype(float), rtol=1e-12)


def test_scores_are_those_of_the_queries_as_they_are(forced):
    """No rounding by what queries are divided by."""
    scores, _ = exact_search([[0.0, 1.0]] * 40, [[49.0, 1.0]])
    assert scores.item() == 1.0


def test_torch_may_default_to_float64(rng, brute_force, forced):
    keys, queries = rng.normal(size=(200, 5)), rng.normal(size=(9, 5))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        _, indices = exact_search(keys, queries, 3)
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_array_equal(indices, brute_force(keys, queries, 3)[1])


@pytest.mark.parametrize("k", [1, 3])
def test_near_ties(rng, brute_force, forced, k):
    """Keys one float32 step apart: no code tells them from each other."""
    queries = rng.normal(size=(20, D)).astype(np.float32)
    keys = np.tile(rng.normal(size=D).astype(np.float32), (600, 1))
    for row in keys:
        for i in rng.choice(D, 3, replace=False):
            row[i] = np.nextafter(row[i], np.float32(rng.choice([-9, 9])))
    _, indices = exact_search(keys, queries, k)
    np.testing.assert_array_equal(indices, brute_force(keys, queries, k)[1])


@pytest.mark.parametrize("k", [1, 5])
def test_keys_in_ascending_order_of_score(rng, brute_force, forced, k):
    """The worst order: every key is better than all before it."""
    query = rng.normal(size=D)
    keys = rng.normal(size=(3000, D))
    keys = keys[np.argsort(keys @ query)]
    queries = query + 0.01 * rng.normal(size=(30, D))
    _, indices = exact_search(keys, queries, k)
    np.testing.assert_array_equal(indices, brute_force(keys, queries, k)[1])


def test_finer_codes_where_many_keys_stay_in(monkeypatch, rng, brute_force):
    """One coordinate is so large that 8 bits leave nothing of the others."""
    used = []

    class Watched(Float32Codes):
        @classmethod
        def encode_keys(cls, keys, group):
            used.append(len(keys))
            return super().encode_keys(keys, group)

    monkeypatch.setattr(_scan, "codes_for", lambda *args: [Int8Codes, Watched])
    keys = rng.normal(size=(8000, D))
    keys[:, 0] = 3000
    queries = rng.normal(size=(50, D))
    queries[:, 0] = 1e-3
    _, indices = exact_search(keys, queries, 2)
    np.testing.assert_array_equal(indices, brute_force(keys, queries, 2)[1])
    assert 0 < sum(used) < 8000
    used.clear()
    exact_search(keys[:, 1:], queries[:, 1:], 2)
    assert not used


def test_room_for_candidates_is_bounded(monkeypatch, rng):
    """All keys are equal: none can be ruled out."""
    held = []

    def add(self, pairs, add=Candidates._add):
        add(self, pairs)
        held.append(self._n_pairs)

    monkeypatch.setattr(Candidates, "_add", add)
    keys = np.ones((5000, 8))
    _, indices = exact_search(keys, rng.normal(size=(40, 8)), 2)
    np.testing.assert_array_equal(indices, [[0, 1]] * 40)
    assert max(held) <= 40 * (8 * 2 + 64)


# --- the choice


def test_small_searches_need_no_choice():
    assert codes_for(100, 100, 8, torch.device("cpu")) == [Float32Codes]


def test_choice_goes_from_coarse_to_fine(monkeypatch):
    seconds = {}
    monkeypatch.setattr(_choice, "_measure", lambda device: seconds)
    for times, expected in [
        ((1, 2, 3), [Int8Codes, BFloat16Codes, Float32Codes]),
        ((1, 4, 3), [Int8Codes, Float32Codes]),
        ((9, 2, 3), [BFloat16Codes, Float32Codes]),
        ((9, 9, 3), [Float32Codes]),
        ((None, 2, 3), [BFloat16Codes, Float32Codes]),
    ]:
        measured = zip(CODES, times, strict=True)
        seconds.clear()
        seconds.update((codes, t) for codes, t in measured if t is not None)
        _choice._by_speed.cache_clear()
        assert codes_for(2**20, 2**20, 8, torch.device("cpu")) == expected
    _choice._by_speed.cache_clear()


@pytest.mark.parametrize("fault", ["absent", "cut off", None])
def test_products_of_integers_have_to_be_exact(monkeypatch, fault):
    def product(keys, queries, out=None):
        if fault == "absent":
            raise RuntimeError("no such kernel")
        exact = keys.double() @ queries.double().T
        return (exact.clamp(max=2**15) if fault else exact).to(torch.int32)

    monkeypatch.setattr(Int8Codes, "product", staticmethod(product))
    assert (Int8Codes in _choice._measure(torch.device("cpu"))) == (fault is None)


def test_the_choice_is_measured_once(monkeypatch):
    calls = []
    seconds = dict.fromkeys(CODES, 1.0)
    monkeypatch.setattr(_choice, "_measure", lambda _: calls.append(1) or seconds)
    _choice._by_speed.cache_clear()
    for _ in range(3):
        codes_for(2**20, 2**20, 8, torch.device("cpu"))
    assert len(calls) == 1
    _choice._by_speed.cache_clear()


# --- the short-list of Faiss


def test_short_list_where_there_are_no_short_codes(monkeypatch, rng, brute_force):
    monkeypatch.setattr(_shortlist, "codes_for", lambda *args: [Float32Codes])
    monkeypatch.setattr(_shortlist, "_faiss_leads", lambda: True)
    monkeypatch.setattr(_shortlist, "SMALL", 2**15)
    keys = rng.normal(size=(2**9, D)).astype(np.float32)
    queries = rng.normal(size=(2**6, D)).astype(np.float32)
    calls = []

    def watched(*args, search=_search.shortlist_search):
        calls.append(1)
        return search(*args)

    monkeypatch.setattr(_search, "shortlist_search", watched)
    indices = exact_search(keys, queries, 3)[1]
    assert calls
    np.testing.assert_array_equal(indices, brute_force(keys, queries, 3)[1])
    n_calls = len(calls)
    exact_search(keys, queries, 3, max_memory=2**22)  # too little for Faiss
    exact_search(keys[:400], queries, 3)  # too small to matter
    assert len(calls) == n_calls


def test_ties_longer_than_the_short_list(monkeypatch, rng, brute_force):
    monkeypatch.setattr(_search, "shortlist_pays", lambda *args: True)
    monkeypatch.setattr(_shortlist, "_ROWS", 16)
    keys = np.repeat(rng.normal(size=(40, D)), 30, axis=0)[rng.permutation(1200)]
    queries = rng.normal(size=(100, D))
    found = []

    def watched(*args, top_k=_shortlist._faiss_top_k):
        found.append(1)
        return top_k(*args)

    monkeypatch.setattr(_shortlist, "_faiss_top_k", watched)
    indices = exact_search(keys, queries, 5)[1]
    np.testing.assert_array_equal(indices, brute_force(keys, queries, 5)[1])
    # No query of the first block was sure: the others did not try.
    assert len(found) == 1


def test_faiss_keeps_its_number_of_threads(rng):
    faiss = pytest.importorskip("faiss")
    before = faiss.omp_get_max_threads()
    rows = rng.normal(size=(100, D)).astype(np.float32)
    _shortlist._faiss_top_k(rows, rows, 2)
    assert faiss.omp_get_max_threads() == before


@pytest.mark.parametrize("leader", ["torch", "faiss"])
def test_whether_faiss_leads_is_measured(monkeypatch, leader):
    def seconds(runs, device):
        for run in runs.values():
            run()
        return {name: 1 + (name != leader) for name in runs}

    monkeypatch.setattr(_shortlist, "seconds_of", seconds)
    _shortlist._faiss_leads.cache_clear()
    assert _shortlist._faiss_leads() == (leader == "faiss")
    _shortlist._faiss_leads.cache_clear()
