"""Torch modules: networks for support functions and best keys."""

from ._activations import LeakyReLU, ReLU, SoftLeakyReLU, make_activation
from ._compose import CentroidKeyNet, ResidualSupportNet
from ._ellipsoids import Ellipsoids
from ._homogenize import DirectionalKeyNet, RadialSupportNet, split_direction, unit_rows
from ._initialization import lecun_normal, principled_non_negative
from ._key_net import KeyNet
from ._layers import injected_layers
from ._sizing import budget_widths, count_parameters
from ._support_net import SupportNet

__all__ = [
    "CentroidKeyNet",
    "DirectionalKeyNet",
    "Ellipsoids",
    "KeyNet",
    "LeakyReLU",
    "RadialSupportNet",
    "ReLU",
    "ResidualSupportNet",
    "SoftLeakyReLU",
    "SupportNet",
    "budget_widths",
    "count_parameters",
    "injected_layers",
    "lecun_normal",
    "make_activation",
    "principled_non_negative",
    "split_direction",
    "unit_rows",
]
