"""Partition of the keys into lists by spherical k-means."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import column_or_1d

from ._memmaps import release
from ._validation import row_blocks
from .nn import unit_rows

__all__ = ["LISTS", "Partition", "as_partition", "n_lists", "spherical_kmeans"]

# Names for numbers of lists, and how many square roots of the number of keys they are.
LISTS = {"sqrt": 1, "auto": 2}
# Bytes of the sample that centroids are found from.
_SAMPLE = 2**29


def n_lists(n_partitions: int | str, n_keys: int) -> int:
    """Number of lists that is meant by a number, or by one of the names.

    Parameters
    ----------
    n_partitions : int, "sqrt" or "auto"
        "sqrt" takes the square root of the number of keys, "auto" twice that.
    n_keys : int
        Number of keys.

    Returns
    -------
    n_lists : int
        A number as it is given; for a name at least 1 and at most ``n_keys``.

    Examples
    --------
    >>> from sk_amips.partition import n_lists
    >>> n_lists("sqrt", 10_000), n_lists("auto", 10_000), n_lists(64, 10_000)
    (100, 200, 64)
    """
    if n_partitions not in LISTS:
        return n_partitions
    return max(1, min(n_keys, round(LISTS[n_partitions] * n_keys**0.5)))


class Partition:
    """Keys split into lists.

    Parameters
    ----------
    labels : ndarray of shape (n_keys,)
        List of each key, in ``0..c - 1``; no list may be empty.
    centroids : ndarray of shape (c, n_features)
        Mean of the keys of each list.

    Attributes
    ----------
    labels_ : ndarray of shape (n_keys,), dtype int32
        List of each key.
    centroids_ : ndarray of shape (c, n_features), dtype float32
        Mean of the keys of each list.
    sizes_ : ndarray of shape (c,), dtype int64
        Number of keys of each list.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.partition import Partition
    >>> labels, centroids = np.array([0, 1, 0]), np.array([[1.0, 0.5], [0.0, 2.0]])
    >>> partition = Partition(labels, centroids)
    >>> partition
    Partition(3 keys in 2 lists)
    >>> partition.members(0), partition.sizes_
    (array([0, 2]), array([2, 1]))
    """

    def __init__(self, labels: np.ndarray, centroids: np.ndarray):
        self.labels_ = np.asarray(labels, dtype=np.int32)
        self.centroids_ = np.asarray(centroids, dtype=np.float32)
        self.sizes_ = np.bincount(self.labels_, minlength=len(self.centroids_))
        self._order = np.argsort(self.labels_, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self.sizes_)])

    def __getstate__(self) -> dict:
        """What there is to know: labels in as few bytes as they take, and centroids."""
        few = np.min_scalar_type(self.n_partitions - 1)
        return {"labels": self.labels_.astype(few), "centroids": self.centroids_}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)

    @property
    def n_partitions(self) -> int:
        """Number of lists."""
        return len(self.sizes_)

    def members(self, j: int) -> np.ndarray:
        """Rows of the keys in one list.

        Parameters
        ----------
        j : int
            The list, in ``0..n_partitions - 1``.

        Returns
        -------
        rows : ndarray of shape (n_members,), dtype int64
            Ascending.
        """
        return self._order[self._starts[j] : self._starts[j + 1]]

    def key_at(self, lists: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Rows of the keys at given places of given lists.

        Parameters
        ----------
        lists : ndarray of int
            Lists.
        places : ndarray of int, of the same shape
            Places in these lists, as :meth:`members` orders their keys.

        Returns
        -------
        rows : ndarray of the same shape, dtype int64
            Rows of the keys.
        """
        return self._order[self._starts[lists] + places]

    def __repr__(self) -> str:
        return f"Partition({len(self.labels_)} keys in {self.n_partitions} lists)"


def as_partition(keys: np.ndarray, partition) -> Partition:
    """Partition of the keys from labels, or one that exists, if it fits them.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        Keys.
    partition : Partition or array-like of shape (n_keys,)
        A partition of these keys, or the list of each key: integers from 0 on.

    Returns
    -------
    partition : Partition
        The one that was given, or a new one with the means of the lists as centroids.

    Raises
    ------
    ValueError
        If there is not one label a key, labels are not integers from 0 on, a list would
        be empty, or a partition is one of keys of another width.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.partition import as_partition
    >>> keys = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> partition = as_partition(keys, [0, 1, 0])
    >>> partition.centroids_
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    >>> as_partition(keys, partition) is partition
    True
    """
    given = isinstance(partition, Partition)
    labels = partition.labels_ if given else column_or_1d(partition)
    if len(labels) != len(keys):
        raise ValueError(
            f"partition must have one label a key: got {len(labels)} labels for "
            f"{len(keys)} keys."
        )
    if given:
        width = partition.centroids_.shape[1]
        if width != keys.shape[1]:
            raise ValueError(
                f"partition is one of keys of {width} features, these keys have "
                f"{keys.shape[1]}."
            )
        return partition
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError("partition must hold integer labels from 0 on.")
    n_partitions = int(labels.max()) + 1
    if n_partitions > len(keys) or not np.bincount(labels).all():
        raise ValueError("partition must not leave a list empty.")
    return Partition(labels, _means(keys, labels, n_partitions))


def spherical_kmeans(
    keys: np.ndarray,
    n_partitions: int,
    *,
    seed: int = 0,
    n_iter: int = 12,
    n_jobs: int | None = None,
    device: str | torch.device = "cpu",
) -> Partition:
    """Split keys by the direction they point in.

    k-means of the normalised keys under cosine similarity, by Faiss, on a sample of at
    most 256 keys a list (fewer where that were more than 512 MB, down to 40); then
    every key joins the nearest centroid, and a list that stays empty takes the
    worst-placed key of the largest.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        Keys of any non-zero norm.
    n_partitions : int
        Number of lists, at most the number of keys.
    seed : int, default=0
        Seed of sampling and of the first centroids.
    n_iter : int, default=12
        Iterations of k-means.
    n_jobs : int or None, default=None
        Blocks of keys that join centroids at the same time, through joblib, as in
        :func:`~sk_amips.exact_search`.
    device : {"auto", "cpu", "cuda"} or torch device, default="cpu"
        Where nearest centroids are computed; Faiss computes on the CPU.

    Returns
    -------
    partition : Partition
        The lists, none of them empty.

    Raises
    ------
    ValueError
        If there are fewer keys than lists.

    Examples
    --------
    Directions decide, norms do not:

    >>> import numpy as np
    >>> from sk_amips.partition import spherical_kmeans
    >>> keys = np.array([[1.0, 0.0], [9.0, 0.5], [0.0, 1.0], [0.1, 9.0]])
    >>> labels = spherical_kmeans(keys, n_partitions=2).labels_
    >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
    True
    """
    n_keys, n_features = keys.shape
    if not 1 <= n_partitions <= n_keys:
        raise ValueError(
            "n_partitions must be at least 1 and at most the number of keys, "
            f"{n_keys}: got {n_partitions}."
        )
    if n_partitions == 1:
        labels = np.zeros(n_keys, dtype=np.int32)
        return Partition(labels, _means(keys, labels, 1))
    # Imported here: estimators without partitions work where Faiss is not at hand.
    import faiss

    # Not at the top, for partitions are what some exact searches are about.
    from .exact._assign import assign

    most = max(40 * n_partitions, _SAMPLE // (4 * n_features))
    sample_size = min(n_keys, 256 * n_partitions, most)
    rng = np.random.RandomState(seed)
    sample = np.sort(rng.choice(n_keys, sample_size, replace=False))
    kmeans = faiss.Kmeans(
        n_features,
        n_partitions,
        niter=n_iter,
        spherical=True,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=sample_size,
    )
    kmeans.train(_directions(keys, sample))
    centroids = kmeans.centroids
    labels = assign(keys, centroids, n_jobs=n_jobs, device=device).astype(np.int32)
    _fill_empty_lists(keys, labels, centroids)
    return Partition(labels, _means(keys, labels, n_partitions))


def _directions(keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Directions of some keys, in float32, read in blocks."""
    unit = np.empty((len(rows), keys.shape[1]), dtype=np.float32)
    for some in row_blocks(len(rows)):
        unit[some] = unit_rows(keys[rows[some]])[1]
        release(keys)
    return unit


def _fill_empty_lists(
    keys: np.ndarray, labels: np.ndarray, centroids: np.ndarray
) -> None:
    """Give every empty list the key that fits the largest list worst, in place."""
    sizes = np.bincount(labels, minlength=len(centroids))
    for empty in np.flatnonzero(sizes == 0):
        largest = sizes.argmax()
        members = np.flatnonzero(labels == largest)
        worst = members[(unit_rows(keys[members])[1] @ centroids[largest]).argmin()]
        labels[worst] = empty
        sizes[largest] -= 1
        sizes[empty] = 1


def _means(keys: np.ndarray, labels: np.ndarray, n_partitions: int) -> np.ndarray:
    """Mean of the keys of each list, in blocks."""
    total = np.zeros((n_partitions, keys.shape[1]))
    for rows in row_blocks(len(keys)):
        block = np.asarray(keys[rows], dtype=np.float64)
        ones = np.ones(len(block))
        places = (labels[rows], np.arange(len(block)))
        total += sparse.csr_array((ones, places), (n_partitions, len(block))) @ block
        release(keys, rows)
    return total / np.bincount(labels, minlength=n_partitions)[:, None]
