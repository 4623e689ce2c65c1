"""What there is to say of a fitted estimator, as Markdown."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import numpy as np
from sklearn.utils import check_random_state

from ._samples import group_numbers
from .exact import exact_search
from .metrics import recall_at_k
from .metrics._work import n_macs

__all__ = ["card"]

_LIBRARIES = ("numpy", "scikit-learn", "torch", "skorch", "faiss-cpu")
# Samples of a bootstrap, and the share of them that an interval holds.
_SAMPLES, _INSIDE = 1000, 0.95


def card(estimator, X=None, groups=None) -> str:
    """See :meth:`sk_amips._saveable.Saveable.card`."""
    from . import __version__

    groups = group_numbers(groups, X) if X is not None else None
    router = getattr(estimator, "router_", estimator)
    keys = estimator.keys_
    rows = [("keys", f"{keys.shape[0]:,} of {keys.shape[1]} features, {keys.dtype}")]
    if hasattr(router, "key_norms_"):
        norms = router.key_norms_
        largest = f"largest {norms.max:.4g}, root mean square {norms.rms:.4g}"
        rows.append(("norms of keys", largest))
    if hasattr(router, "partition_"):
        sizes = router.partition_.sizes_
        lists = f"{len(sizes):,}, of {sizes.min():,} to {sizes.max():,} keys"
        rows.append(("lists", lists))
    if hasattr(router, "n_samples_seen_"):
        rows.append(
            ("queries learned from, noisy ones too", f"{router.n_samples_seen_:,}")
        )
    if getattr(router, "is_cold_", False):
        rows.append(("log", "none: learned from noisy keys alone"))
    parts = [f"# {type(estimator).__name__}", "## Data", _table(rows)]
    parts += ["## Parameters", _table(_parameters(estimator))]
    if hasattr(router, "net_"):
        parts += ["## Training", _table(_training(router))]
    if hasattr(router, "partition_"):
        macs = f"{n_macs(router):,} to rank the lists, {keys.size:,} to score all keys"
        parts += ["## Work of a query, in multiply-accumulates", macs]
    if hasattr(estimator, "report_"):
        parts += ["## Calibration", _table(_calibration(estimator))]
    if X is not None:
        title = f"## Measured on {len(X):,} queries"
        parts += [title, _table(_measured(estimator, X, groups))]
    versions = [("sk_amips", __version__)]
    versions += [(name, version(name)) for name in _LIBRARIES]
    parts += ["## Versions", _table(versions)]
    return "\n\n".join(parts) + "\n"


def _table(rows) -> str:
    lines = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def _parameters(estimator) -> list[tuple[str, str]]:
    """Parameters that are not as they come, without the keys."""
    signature = inspect.signature(type(estimator).__init__).parameters
    rows = []
    for name, value in estimator.get_params(deep=False).items():
        default = signature[name].default
        is_default = value is default or (
            isinstance(value, int | float | str) and value == default
        )
        if name == "router":
            some = value if isinstance(value, list | tuple) else [value]
            rows.append((name, ", ".join(type(each).__name__ for each in some)))
        elif name != "keys" and not is_default:
            rows.append((name, f"`{value!r}`" if np.ndim(value) == 0 else "given"))
    return rows or [("all", "as they come")]


def _training(router) -> list[tuple[str, str]]:
    last = router.history_[-1] if len(router.history_) else {}
    rows = [("epochs", router.n_iter_)]
    names = [k for k, v in last.items() if isinstance(v, float) and k != "dur"]
    rows += [(f"last {k.replace('_', ' ')}", f"{last[k]:.4g}") for k in names]
    module = router.net_.module_
    weights = sum(p.numel() for p in module.parameters())
    return [*rows, ("weights", f"{weights:,}")]


def _calibration(index) -> list[tuple[str, str]]:
    report = index.report_
    ours, plain = report["router"], report["centroids"]
    return [
        ("promise", _promise(index)),
        ("queries that calibrated", f"{report['n_calibration']:,}"),
        ("lists are ranked by", report["chosen"]),
        (
            "keys scanned",
            f"{ours['keys_scanned']:,.0f}, by plain centroids "
            f"{plain['keys_scanned']:,.0f}",
        ),
        (
            "multiply-accumulates",
            f"{ours['macs']:,.0f}, by plain centroids {plain['macs']:,.0f}",
        ),
        (
            "pays after",
            f"{report['break_even']:,} queries"
            if report["break_even"] is not None
            else "no number of queries that is known",
        ),
    ]


def _promise(index) -> str:
    if index.target_recall is not None:
        return f"recall@{index.k} of {index.target_recall}, in the mean over queries"
    return "exact" if index._is_exact() else "none: lists or keys are given"


def _measured(estimator, X, groups) -> list[tuple[str, str]]:
    """Recall with an interval by a bootstrap over groups."""
    k = getattr(estimator, "k", 1)
    exact, _ = exact_search(estimator.keys_, X, k)
    if hasattr(estimator, "report_"):
        what, found = f"recall@{k}", estimator.search(X, k)
    elif hasattr(estimator, "kept_"):
        what, found = f"recall@{k} of the kept keys", estimator.search(X, k)
    else:
        what = "match rate"
        found = estimator._answer(estimator._check_queries(X), k)
    each = recall_at_k(exact, *found, average=False)
    low, high = _interval(each, groups)
    interval = f"{_INSIDE:.0%} of bootstrap samples {low:.4f} to {high:.4f}"
    rows = [(what, f"{each.mean():.4f} ({interval})")]
    if hasattr(estimator, "report_"):
        n_keys = estimator.visited(X, k)[1].mean()
        rows.append(("keys scanned", f"{n_keys / len(estimator.keys_):.2%}"))
    return rows


def _interval(each: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    sums, sizes = np.bincount(groups, each), np.bincount(groups)
    rng = check_random_state(0)
    rows = (rng.randint(len(sizes), size=len(sizes)) for _ in range(_SAMPLES))
    means = [sums[some].sum() / sizes[some].sum() for some in rows]
    tail = (1 - _INSIDE) / 2
    return tuple(np.quantile(means, [tail, 1 - tail]))
