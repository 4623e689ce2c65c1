"""The lists of an index as plain data, and made anew from it."""

from __future__ import annotations

from ._code_lists import CodeLists
from ._engine import Engine
from ._faiss_lists import FaissLists
from ._list_scores import list_scorer

__all__ = ["lists_state", "restored_engine"]


def lists_state(lists: CodeLists | FaissLists) -> dict:
    """What is not told by keys and partition; codes are made anew, by any processor."""
    if isinstance(lists, CodeLists):
        return {"kind": "flat", "trust": lists.trust}
    return {"kind": lists.kind, "seed": lists.seed, "n_refined": lists.n_refined}


def restored_engine(router, state: dict) -> Engine:
    """The search that a router steers, over lists from :func:`lists_state`."""
    keys, partition = router.keys_, router.partition_
    largest = router.key_norms_.max
    if state["kind"] == "flat":
        lists = CodeLists(keys, partition, largest)
        lists.trust = float(state["trust"])
    else:
        kind, seed = state["kind"], int(state["seed"])
        lists = FaissLists(keys, partition, largest, kind, seed)
        lists.n_refined = int(state["n_refined"])
    return Engine(keys, lists, list_scorer(router))
