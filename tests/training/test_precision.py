import threading

import pytest
import torch

from sk_amips.training import Precision
from sk_amips.training._precision import _cuda_tf32

CPU = torch.device("cpu")


def tf32_flag():
    """The flag under the name that this torch has for it."""
    flags = torch.backends.cuda.matmul
    has_new = hasattr(flags, "fp32_precision")
    return flags.fp32_precision if has_new else flags.allow_tf32


def test_on_a_cpu():
    assert Precision("auto", CPU).name == "float32"
    with pytest.raises(ValueError, match=r"'tf32' needs a CUDA device .*, got cpu"):
        Precision("tf32", CPU)


@pytest.mark.parametrize(
    ("capability", "name"), [((7, 5), "float32"), ((8, 0), "tf32"), ((9, 0), "tf32")]
)
def test_auto_follows_the_device(monkeypatch, capability, name):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert Precision("auto", torch.device("cuda")).name == name
    assert Precision("bfloat16", torch.device("cuda")).name == "bfloat16"


@pytest.mark.parametrize(
    ("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_autocast(name, dtype):
    precision = Precision(name, CPU)
    with precision.products(), precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("use", [True, False])
def test_the_flag_is_set_back(use):
    before = tf32_flag()
    with pytest.raises(RuntimeError, match="in between"), _cuda_tf32(use):  # noqa: PT012
        assert tf32_flag() in ((True, "tf32") if use else (False, "ieee"))
        raise RuntimeError("in between")
    assert tf32_flag() == before


@pytest.mark.parametrize("name", ["tf32", "float32"])
def test_the_flag_is_set_on_cuda_alone(monkeypatch, name):
    capability = "torch.cuda.get_device_capability"
    monkeypatch.setattr(capability, lambda device: (9, 0))
    before = tf32_flag()
    with Precision(name, torch.device("cuda")).products():
        assert tf32_flag() in (("tf32", True) if name == "tf32" else ("ieee", False))
    with Precision("float32", CPU).products():
        assert tf32_flag() == before
    assert tf32_flag() == before


def test_an_old_device_has_no_tf32(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    with pytest.raises(ValueError, match="capability 8 or more, got cuda"):
        Precision("tf32", torch.device("cuda"))


def test_threads_take_turns_with_the_flag(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (9, 0))
    before, seen, inside = tf32_flag(), [], threading.Event()

    def other():
        inside.wait()
        with Precision("float32", torch.device("cuda")).products():
            seen.append(tf32_flag())

    thread = threading.Thread(target=other)
    thread.start()
    with Precision("tf32", torch.device("cuda")).products():
        inside.set()
        thread.join(timeout=0.2)
        assert not seen
        assert tf32_flag() in ("tf32", True)
    thread.join()
    assert seen[0] in ("ieee", False)
    assert tf32_flag() == before
