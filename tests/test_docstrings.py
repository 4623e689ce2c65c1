"""Every public name is documented: parameters, what is returned, an example that runs.

Examples run as doctests; here it is checked that they are there.
"""

import inspect
import pkgutil
from importlib import import_module

import pytest
from numpydoc.validate import validate
from torch import nn

import sk_amips

# What is not asked for: an extended summary, references to others, a return value
# without a name (scikit-learn gives it one), a verb ahead of what a property is.
LEFT_OUT = {"ES01", "SA01", "RT02", "SS05"}
# Asked for once a class, not for each method; and for torch modules, whose methods
# all map queries as the class says, what goes in and comes out.
ONCE = {"EX01"}
MODULES = {"PR01", "RT01"}
# Modules whose names are shared within the library and promised to nobody.
INTERNAL = {"training"}


def public_names():
    """Paths of public classes and functions, and of the methods of the classes."""
    paths = {}
    modules = [sk_amips]
    for module in pkgutil.iter_modules(sk_amips.__path__):
        if not module.name.startswith("_") and module.name not in INTERNAL:
            modules.append(import_module(f"sk_amips.{module.name}"))
    for exports in modules:
        for name in exports.__all__:
            thing = getattr(exports, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            path = f"{exports.__name__}.{name}"
            paths[path] = LEFT_OUT
            for method in methods(thing) if inspect.isclass(thing) else ():
                of_torch = MODULES if issubclass(thing, nn.Module) else set()
                paths[f"{path}.{method}"] = LEFT_OUT | ONCE | of_torch
    return paths


def methods(kind):
    """Names of the public methods and properties that the library itself defines."""
    for name, member in inspect.getmembers(kind):
        function = member.fget if isinstance(member, property) else member
        if not inspect.isfunction(function) or name.startswith("_"):
            continue
        if function.__module__.startswith("sk_amips"):
            yield name


PATHS = public_names()


@pytest.mark.parametrize("path", PATHS)
def test_docstring(path):
    errors = validate(path)["errors"]
    found = [f"{code}: {text}" for code, text in errors if code not in PATHS[path]]
    assert not found


def test_all_modules_are_looked_at():
    assert "sk_amips.metrics.recall_at_k" in PATHS
    assert "sk_amips.index.AmortizedNeighbors.search" in PATHS
    for name in sk_amips.__all__:
        assert any(path.endswith(f".{name}") for path in PATHS)
