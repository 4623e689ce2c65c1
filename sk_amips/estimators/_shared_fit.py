"""A fit that several processes share, through an accelerator."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods

from ..partition import Partition
from ..routing._base import BaseRouter
from ..training import OneProcess, device_of, processes_of

__all__ = ["SharedFit"]


class SharedFit(BaseRouter):
    """Router whose fit is the same in all processes of its ``accelerator``."""

    _parameter_constraints: dict = {
        **BaseRouter._parameter_constraints,
        "accelerator": [HasMethods(["gather", "reduce"]), None],
    }
    # It belongs to the processes that run, and not to what they learn.
    _by_reference = (*BaseRouter._by_reference, "accelerator")
    _not_saved = (*BaseRouter._not_saved, "accelerator")

    def _processes(self) -> OneProcess:
        """Those that share the fit."""
        return processes_of(self.accelerator)

    def _device(self):
        if self.accelerator is None:
            return self.device
        device = device_of(self.accelerator)
        if self.device != "auto":
            asked = torch.device(self.device)
            if asked not in (device, torch.device(device.type)):
                raise ValueError(
                    f"device={self.device!r} is not that of the accelerator, {device}: "
                    "leave it 'auto'."
                )
        return device

    def _random(self) -> np.random.RandomState:
        rng = check_random_state(self.random_state)
        if self.random_state is not None or self._processes().count == 1:
            return rng
        # Each process has a source of its own: that of the main one seeds all.
        seed = np.array([rng.randint(np.iinfo(np.int32).max)])
        return np.random.RandomState(int(self._processes().agreed(seed)[0]))

    def _take_keys(self, X: np.ndarray) -> None:
        super()._take_keys(X)
        processes, lists = self._processes(), self.partition_
        if self.partition is None and processes.count > 1:
            # Machines may round a k-means differently.
            self.partition_ = Partition(
                processes.agreed(lists.labels_), processes.agreed(lists.centroids_)
            )

    def _check_same_fit(self, **data) -> None:
        """Raise unless all processes were given the same data and randomness."""
        state = None
        if self.random_state is not None:
            _, state, place, *_ = check_random_state(self.random_state).get_state()
            state = np.append(state, place)
        self._processes().check_same(**data, random_state=state)
