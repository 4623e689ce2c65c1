"""Fitted state as JSON and arrays, and back: known types only, and no code is run."""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from .._saveable import Saveable
from .._validation import KeyNorms
from ..index._calibrate import Calibration
from ..nn import Ellipsoids
from ..partition import Partition
from ._checks import calibration, partition, random_state
from ._classes import class_name, saved_class
from ._errors import InvalidFileError
from ._fitted import check_fitted

__all__ = ["Reader", "Writer"]

# Parameters that older releases did not have, and what they stand for there.
_ADDED = {"AmortizedNeighbors": {"shards": None}}
# Levels of lists and dicts in one another.
_DEEPEST = 40
# What several fields may share. All else is small, and written where it stands.
SHARED = ("array", "estimator", "partition")


class Writer:
    """Turns values into nodes of JSON, and keeps their arrays.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self._known: dict[int, tuple[str, object]] = {}

    def node(self, value, path: str):
        """The node of a value.

        Raises
        ------
        TypeError
            If it is of a type that cannot be saved; ``path`` says which it was.
        """
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Real):
            value = float(value)
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, list):
            return [self.node(v, f"{path}.{i}") for i, v in enumerate(value)]
        return {_kind(value, path): self._content(value, path)}

    def _content(self, value, path: str):
        kind = _kind(value, path)
        if kind in SHARED:
            if id(value) in self._known:
                return {"same": self._known[id(value)][0]}
            # The value too, so that no other one takes its id.
            self._known[id(value)] = path, value
        if kind == "array":
            self.arrays[path] = value
            return path
        if kind == "strings":
            return value.tolist()
        if kind == "device":
            return str(value)
        if kind == "optimizer":
            return value.__name__
        return self._fields(value, kind, path)

    def _fields(self, value, kind: str, path: str):
        if kind == "tuple":
            return [self.node(v, f"{path}.{i}") for i, v in enumerate(value)]
        if kind == "dict":
            return [
                [self.node(k, path), self.node(v, f"{path}.{k}")]
                for k, v in value.items()
            ]
        if kind == "frozen":
            return self.node(value.estimator, f"{path}.estimator")
        if kind == "estimator":
            names = {*value._get_param_names(), *value._private_state}
            state = value._to_state()
            # Not what others have hung on it, such as scikit-learn's callbacks.
            fields = {k: state[k] for k in state if k in names or k[-1] == "_"}
            fields = {"class": class_name(value), **fields}
            for name in ("keys", "keys_", *value._not_saved):
                fields.pop(name, None)
            fields["has_keys"] = getattr(value, "keys", None) is not None
        else:
            fields = FIELDS[kind](value)
        return {k: self.node(v, f"{path}.{k}") for k, v in fields.items()}


def _kind(value, path: str) -> str:
    if isinstance(value, np.ndarray):
        return "strings" if value.dtype.kind in "OU" else "array"
    for kind, types in KINDS.items():
        if isinstance(value, types):
            return kind
    if isinstance(value, Saveable):
        return "estimator"
    if isinstance(value, type) and getattr(torch.optim, value.__name__, None) is value:
        return "optimizer"
    raise TypeError(
        f"{path}={value!r} cannot be saved: only numbers, strings, arrays, and what is "
        "made of them. Set it to another value first."
    )


KINDS = {
    "norms": KeyNorms,
    "tuple": tuple,
    "dict": dict,
    "partition": Partition,
    "calibration": Calibration,
    "random_state": np.random.RandomState,
    "ellipsoids": Ellipsoids,
    "frozen": FrozenEstimator,
    "device": torch.device,
}

FIELDS = {
    "norms": KeyNorms._asdict,
    "partition": Partition.__getstate__,
    "calibration": lambda value: {
        name: getattr(value, name) for name in Calibration.__dataclass_fields__
    },
    "random_state": lambda value: dict(
        zip(
            ("name", "state", "place", "has_gauss", "gauss"),
            value.get_state(),
            strict=True,
        )
    ),
    "ellipsoids": lambda value: {
        name: tensor.numpy() for name, tensor in value.state_dict().items()
    },
}


class Reader:
    """Turns nodes of JSON and arrays into the values that they stand for.

    Parameters
    ----------
    arrays : dict of str to ndarray
    keys : ndarray or None
        Keys of all estimators.
    """

    def __init__(self, arrays: dict[str, np.ndarray], keys: np.ndarray | None):
        self._arrays = arrays
        self._keys = keys
        self._known: dict[tuple[str, str], object] = {}

    def value(self, node, path: str, depth: int = 0):
        """The value of a node.

        Raises
        ------
        InvalidFileError, KeyError, TypeError, ValueError
            If there is no such value.
        """
        if depth > _DEEPEST:
            raise InvalidFileError("the values lie too deep in one another.")
        if node is None or isinstance(node, bool | str | int | float):
            return node
        if isinstance(node, list):
            return [self.value(v, f"{path}.{i}", depth + 1) for i, v in enumerate(node)]
        ((kind, content),) = node.items()
        if isinstance(content, dict) and set(content) == {"same"}:
            return self._known[kind, content["same"]]
        value = self._made(kind, content, path, depth + 1)
        if kind in SHARED:
            self._known[kind, path] = value
        return value

    def _made(self, kind: str, content, path: str, depth: int):
        if kind == "float":
            return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[content]
        if kind == "array":
            return self._arrays[content]
        if kind == "strings":
            return np.array([str(v) for v in content], dtype=object)
        if kind == "device":
            return torch.device(content)
        if kind == "optimizer":
            kind = getattr(torch.optim, content)
            if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
                raise InvalidFileError(f"{content!r} is no optimizer of torch.")
            return kind
        if kind == "tuple":
            return tuple(self.value(content, path, depth))
        if kind == "dict":
            return {
                self.value(k, path, depth): self.value(v, f"{path}.{k}", depth)
                for k, v in content
            }
        if kind == "frozen":
            return FrozenEstimator(self.value(content, f"{path}.estimator", depth))
        fields = {k: self.value(v, f"{path}.{k}", depth) for k, v in content.items()}
        if kind == "estimator":
            return self._estimator(fields)
        return MAKERS[kind](**fields)

    def _estimator(self, fields: dict):
        kind = saved_class(fields.pop("class"))
        made = object.__new__(kind)
        has_keys = fields.pop("has_keys")
        names = set(kind._get_param_names())
        params = _ADDED.get(kind.__name__, {}).copy()
        params |= {k: v for k, v in fields.items() if k in names}
        params |= dict.fromkeys(kind._not_saved)
        # Results that are kept are pickles, which nobody may be led to by a file.
        params |= dict.fromkeys({"memory"} & names)
        if "keys" in names:
            params["keys"] = self._keys if has_keys else None
        if set(params) != names:
            raise InvalidFileError(f"{kind.__name__} has other parameters.")
        vars(made).update(params)
        made._validate_params()
        fitted = {k: v for k, v in fields.items() if k not in names}
        if fitted:
            if self._keys is None:
                made._lacks_keys = True
            else:
                fitted["keys_"] = self._keys
            check_fitted(made, fitted)
            made._restore(params | fitted)
        return made


def _ellipsoids(factors, radii, scale) -> Ellipsoids:
    axes = torch.from_numpy(np.array(factors)), torch.from_numpy(np.array(radii))
    if axes[0].ndim != 3 or axes[1].shape != axes[0].shape[:1]:
        raise InvalidFileError("ellipsoids have axes and a radius for each list.")
    return Ellipsoids(*axes, scale=float(scale))


MAKERS = {
    "norms": lambda max, rms: KeyNorms(float(max), float(rms)),
    "partition": partition,
    "calibration": calibration,
    "random_state": random_state,
    "ellipsoids": _ellipsoids,
}
