"""An index that is asked for a recall."""

from ._calibrate import Calibration
from ._key_shard import KeyShard
from ._neighbors import AmortizedNeighbors

__all__ = ["AmortizedNeighbors", "Calibration", "KeyShard"]
