"""Saved estimators: a folder with parameters as JSON and arrays as safetensors."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.utils.validation import check_is_fitted

from .._validation import as_keys
from ..estimators._net_state import optimizer_state, restore_optimizer
from ._classes import class_name
from ._errors import InvalidFileError
from ._keys import check_keys, describe_keys, write_keys
from ._replace import replaced
from ._tree import Reader, Writer

__all__ = ["FORMAT", "load", "save"]

# Raised when what older releases of the library read would be wrong.
FORMAT = 1
PARAMS, WEIGHTS, KEYS = "params.json", "weights.safetensors", "keys.npy"
OPTIMIZER = "optimizer.safetensors"
FILES = (PARAMS, WEIGHTS, KEYS, OPTIMIZER)
# Bytes of parameters that are read: those of a fit take some thousands.
_MOST = 2**26
_LIBRARIES = ("numpy", "scikit-learn", "skorch", "torch", "faiss-cpu")


def save(estimator, path, *, keys: bool | None, optimizer: bool) -> None:
    """See :meth:`sk_amips._saveable.Saveable.save`."""
    check_is_fitted(estimator)
    class_name(estimator)
    if getattr(estimator, "_lacks_keys", False):
        estimator._check_keys_are_there()
    writer = Writer()
    content = {
        "format": FORMAT,
        "sk_amips": _own_version(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "estimator": writer.node(estimator, "estimator"),
        "keys": describe_keys(estimator.keys_),
    }
    if keys is None:
        keys = _has_keys(Path(path), content["keys"])
    arrays = {k: np.asarray(v, order="C") for k, v in writer.arrays.items()}
    with replaced(Path(path), FILES, _is_saved) as folder:
        save_file(arrays, folder / WEIGHTS)
        names = [WEIGHTS]
        if keys:
            write_keys(folder / KEYS, estimator.keys_)
            names.append(KEYS)
        if optimizer:
            save_file(_optimizer_arrays(estimator), folder / OPTIMIZER)
            names.append(OPTIMIZER)
        content["files"] = {name: _describe(folder / name) for name in names}
        (folder / PARAMS).write_text(json.dumps(content, indent=1, allow_nan=False))


def _is_saved(folder: Path) -> bool:
    """Whether a folder says that it holds an estimator, of any format."""
    try:
        content = json.loads((folder / PARAMS).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"format", "estimator"} <= content.keys()


def _has_keys(folder: Path, described: dict) -> bool:
    """Whether a folder holds these keys."""
    if not (folder / KEYS).is_file():
        return False
    try:
        return describe_keys(_stored_keys(folder / KEYS)) == described
    except InvalidFileError:
        return False


def load(path, keys=None):
    """Load an estimator from the folder that its ``save`` made.

    Nothing in the files is run as code: at worst they are rejected.

    Parameters
    ----------
    path : str or Path
        The folder.
    keys : array-like of shape (n_keys, n_features), default=None
        The keys that it was fitted with, such as an ``np.memmap``: used by reference.
        None takes those that were saved with it, memory-mapped. Without either, a
        router predicts and maps queries, and cannot search.

    Returns
    -------
    estimator : object
        The fitted estimator.

    Raises
    ------
    InvalidFileError
        If files are missing, truncated, mixed up, made by a newer release or not by
        this library at all, or the keys are others.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import sk_amips
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(300, 8))
    >>> router = sk_amips.LinearRouter(keys, n_partitions=10).fit(queries)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     router.save(f"{folder}/router")
    ...     again = sk_amips.load(f"{folder}/router", keys)
    >>> np.array_equal(again.predict(queries), router.predict(queries))
    True
    """
    folder = Path(path)
    content = _read_params(folder)
    for name, expected in content["files"].items():
        if name not in (WEIGHTS, KEYS, OPTIMIZER):
            raise InvalidFileError(f"{folder} names a file that is not known: {name}.")
        _check_file(folder / name, expected)
    if keys is not None:
        keys = as_keys(keys)
    elif KEYS in content["files"]:
        keys = _stored_keys(folder / KEYS)
    try:
        if keys is not None:
            check_keys(keys, content["keys"])
        arrays = load_file(folder / WEIGHTS)
        estimator = Reader(arrays, keys).value(content["estimator"], "estimator")
        if OPTIMIZER in content["files"]:
            _restore_optimizer(estimator, load_file(folder / OPTIMIZER))
    except InvalidFileError as error:
        raise InvalidFileError(f"{folder}: {error}") from error
    except Exception as error:  # whatever a broken file makes others raise
        raise InvalidFileError(
            f"{folder} holds no estimator that can be made: {error!r}."
        ) from error
    if not hasattr(estimator, "_to_state"):
        raise InvalidFileError(f"{folder} holds no estimator.")
    return estimator


def _read_params(folder: Path) -> dict:
    """The parameters of a folder, of a format that is known."""
    file = folder / PARAMS
    if not file.is_file():
        raise InvalidFileError(f"{folder} is no saved estimator: it has no {PARAMS}.")
    if file.stat().st_size > _MOST:
        raise InvalidFileError(f"{file} is larger than {_MOST} bytes.")
    try:
        content = json.loads(file.read_text("utf-8"))
        found = content["format"]
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise TypeError
        if found > FORMAT:
            raise InvalidFileError(
                f"{folder} was saved in format {found} by sk_amips "
                f"{content.get('sk_amips')}, this release reads up to {FORMAT}: "
                "upgrade."
            )
        for name in ("estimator", "keys", "files"):
            if not isinstance(content[name], dict):
                raise TypeError
        return content
    except InvalidFileError:
        raise
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidFileError(f"{file} is not what save() writes.") from error


def _check_file(file: Path, expected: dict) -> None:
    """Raise if a file is not the one that was saved."""
    if not file.is_file():
        raise InvalidFileError(f"{file} is missing.")
    if not isinstance(expected, dict) or _describe(file) != expected:
        raise InvalidFileError(
            f"{file} is damaged, or of another estimator: its size or its hash differs "
            "from what was saved."
        )


def _describe(file: Path) -> dict:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": os.path.getsize(file), "sha256": digest}


def _stored_keys(file: Path) -> np.ndarray:
    try:
        return as_keys(np.load(file, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # of numpy's parser of headers, too
        raise InvalidFileError(f"{file} holds no keys: {error}.") from error


def _optimizer_arrays(estimator) -> dict[str, np.ndarray]:
    if not hasattr(estimator, "net_"):
        raise ValueError(f"{type(estimator).__name__} has no optimizer to save.")
    return {
        f"{place}.{name}": np.asarray(value)
        for place, values in optimizer_state(estimator.net_).items()
        for name, value in values.items()
    }


def _restore_optimizer(estimator, arrays: dict[str, np.ndarray]) -> None:
    state: dict[int, dict] = {}
    for path, array in arrays.items():
        place, name = path.split(".")
        state.setdefault(int(place), {})[name] = array
    restore_optimizer(estimator.net_, state)


def _own_version() -> str:
    from .. import __version__

    return __version__
