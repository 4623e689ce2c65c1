"""How the gradients of a batch are computed: eagerly, or by replay of a graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EpochScoring, LRScheduler

from sk_amips.losses import AmipsLoss
from sk_amips.nn import DirectionalKeyNet, KeyNet, RadialSupportNet, SupportNet
from sk_amips.training import (
    AmipsNet,
    Batches,
    Matching,
    Precision,
    TrainingData,
    ValidationStopping,
    choose_execution,
)
from sk_amips.training._callbacks import looks_at_batches
from sk_amips.training._graph import GraphedGradients
from sk_amips.training._loss import BatchLoss
from sk_amips.training._step import EagerGradients

N, C, D, BATCH = 130, 4, 6, 20
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def support_net():
    generator = torch.Generator().manual_seed(0)
    return RadialSupportNet(
        SupportNet(D, [16, 16], C, inject_output=True, generator=generator)
    )


def key_net():
    generator = torch.Generator().manual_seed(0)
    return DirectionalKeyNet(KeyNet(D, [16, 16], C, generator=generator))


NETS = {"SupportNet": (support_net, False), "KeyNet": (key_net, True)}


@pytest.fixture(params=list(NETS))
def module_and_loss(request):
    make, consistency = NETS[request.param]
    loss = AmipsLoss(consistency=consistency, key_weight=2.0, routing_weight=0.1)
    return make(), loss


@pytest.fixture
def any_data(rng):
    queries = rng.normal(size=(N, D)).astype(np.float32)
    scores = rng.normal(size=(N, C)).astype(np.float32)
    return TrainingData(
        queries / np.linalg.norm(queries, axis=1, keepdims=True),
        scores,
        best=rng.integers(10, size=(N, C, 1)),
        keys=rng.normal(size=(10, D)),
        best_lists=scores.argmax(axis=1)[:, None],
        weight=rng.uniform(0.5, 1.5, size=N).astype(np.float32),
    )


@pytest.fixture
def data(any_data, module_and_loss):
    consistency = module_and_loss[1].consistency
    return replace(any_data, matching=Matching(2, 0.5, consistency=consistency))


class RecordedGraph:
    """Does on a CPU what a CUDA graph does: each replay fills the same tensors."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.replays = 0

    def record(self, function, device):
        assert device == CPU
        self.function, self.result = function, function()
        self.gradients = [parameter.grad for parameter in self.parameters]
        for tensor in (*self.gradients, self.result.terms):
            tensor.fill_(torch.nan)  # a recording computes nothing
        return self.replay, self.result

    def replay(self):
        self.replays += 1
        before = [parameter.grad for parameter in self.parameters]
        result = self.function()
        self.result.terms.copy_(result.terms)
        self.result.loss.copy_(result.loss)
        for parameter, kept, other in zip(
            self.parameters, self.gradients, before, strict=True
        ):
            kept.copy_(parameter.grad)
            parameter.grad = other


def eager_gradients(module, loss, parameters):
    precision = Precision("auto", CPU)
    batch_loss = BatchLoss(module, loss, True, precision)
    return EagerGradients(batch_loss, parameters, precision, clip_norm=0.5)


def trained(module, loss, data, graph):
    """Weights after two epochs, by a recorded graph or without."""
    parameters = list(module.parameters())
    eager = full = eager_gradients(module, loss, parameters)
    if graph is not None:
        full = GraphedGradients(eager, parameters, CPU, record=graph.record)
    optimizer = torch.optim.AdamW(parameters, lr=0.01)
    terms = []
    batches = Batches(data, BATCH, seed=0)
    for x, y in [*batches, *batches]:
        step = (full if len(x["x"]) == BATCH else eager)(x, y)
        optimizer.step()
        terms.append(step.terms)
    return torch.cat([p.detach().flatten() for p in parameters]), torch.stack(terms)


def test_replays_train_as_eager_steps(module_and_loss, data):
    module, loss = module_and_loss
    state = {name: value.clone() for name, value in module.state_dict().items()}
    weights, terms = trained(module, loss, data, None)
    module.load_state_dict(state)
    graph = RecordedGraph(list(module.parameters()))
    replayed, replayed_terms = trained(module, loss, data, graph)
    assert graph.replays == 2 * (N // BATCH)
    assert torch.equal(replayed, weights)
    assert torch.equal(replayed_terms, terms)


def test_gradients_are_the_graphs_after_a_smaller_batch(module_and_loss, data):
    module, loss = module_and_loss
    parameters = list(module.parameters())
    graph, eager = RecordedGraph(parameters), eager_gradients(module, loss, parameters)
    replayed = GraphedGradients(eager, parameters, CPU, record=graph.record)
    *full, odd = Batches(data, BATCH)
    replayed(*full[0])
    first = [p.grad for p in parameters]
    eager(*odd)
    assert all(p.grad is not g for p, g in zip(parameters, first, strict=True))
    replayed(*full[1])
    assert all(p.grad is g for p, g in zip(parameters, first, strict=True))
    found = [p.grad.clone() for p in parameters]
    eager(*full[1])
    for p, gradient in zip(parameters, found, strict=True):
        assert torch.equal(p.grad, gradient)


def test_gradients_are_clipped(module_and_loss, data):
    module, loss = module_and_loss
    parameters = list(module.parameters())
    x, y = next(iter(Batches(data, BATCH)))
    eager_gradients(module, loss, parameters)(x, y)
    assert torch.cat([p.grad.flatten() for p in parameters]).norm() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("execution", "device", "n_steps", "watched", "chosen"),
    [
        ("auto", CPU, 1000, False, "eager"),
        ("auto", CUDA, 1000, False, "graph"),
        ("auto", CUDA, 10, False, "eager"),
        ("auto", CUDA, 1000, True, "eager"),
        ("eager", CUDA, 1000, False, "eager"),
        ("graph", CUDA, 1, False, "graph"),
        ("compile", CPU, 1, False, "compile"),
        ("compile", CUDA, 1, False, "compile"),
    ],
)
def test_choice_of_execution(execution, device, n_steps, watched, chosen):
    options = {"n_steps": n_steps, "watched": watched}
    assert choose_execution(execution, device, **options) == chosen


def test_a_graph_that_cannot_be():
    with pytest.raises(ValueError, match="needs a CUDA device, got cpu"):
        choose_execution("graph", CPU, n_steps=100, watched=False)
    with pytest.raises(ValueError, match="callbacks that look at every batch"):
        choose_execution("graph", CUDA, n_steps=100, watched=True)


def test_callbacks_that_look_at_batches():
    class OfGradients(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            pass

    class OfAll(OfGradients):
        pass

    class OfEpochs(Callback):
        def on_epoch_end(self, net, **kwargs):
            pass

    for watching in (OfAll(), EpochScoring("r2"), LRScheduler()):
        assert looks_at_batches(watching)
    for blind in (OfEpochs(), ValidationStopping(3)):
        assert not looks_at_batches(blind)


TOLERANCES = {
    "float32": {"rtol": 1e-3, "atol": 1e-4},
    "tf32": {"rtol": 1e-2, "atol": 3e-3},
    "bfloat16": {"rtol": 1e-2, "atol": 3e-3},
}


def fitted_on_cuda(make, consistency, data, execution, **params):
    net = AmipsNet(
        make,
        AmipsLoss,
        criterion__consistency=consistency,
        criterion__key_weight=2.0,
        criterion__routing_weight=0.1,
        lr=3e-3,
        max_epochs=5,
        batch_size=BATCH,
        ema_decay=0.9,
        execution=execution,
        train_split=None,
        verbose=0,
        device="cuda",
        **({"optimizer": torch.optim.AdamW} | params),
    ).initialize()
    return net.partial_fit(data, replace(data, rows=np.arange(30)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("matched", ["best", "all", 2])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("name", list(NETS))
def test_graph_equals_eager_on_cuda(
    name, matched, precision, optimizer, any_data, keeps_global_rng
):
    """After 30 steps of full batches and 5 of smaller ones."""
    make, consistency = NETS[name]
    matching = Matching(matched, 0.5, consistency=consistency)
    eager, graph = (
        fitted_on_cuda(
            make,
            consistency,
            replace(any_data, matching=matching),
            execution,
            precision=precision,
            optimizer=optimizer,
        )
        for execution in ("eager", "graph")
    )
    torch.testing.assert_close(
        graph.module_.state_dict(),
        eager.module_.state_dict(),
        **TOLERANCES[precision],
    )
    for name in ("train_loss", "train_key_loss", "valid_loss"):
        np.testing.assert_allclose(
            graph.history[:, name], eager.history[:, name], rtol=1e-2
        )


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# The compiler of torch uses what torch has deprecated, and advises TF32.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:TensorFloat32:UserWarning")
@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("name", list(NETS))
def test_compiled_equals_eager_on_cuda(name, precision, any_data):
    make, consistency = NETS[name]
    data = replace(any_data, matching=Matching(2, 0.5, consistency=consistency))
    eager, compiled = (
        fitted_on_cuda(make, consistency, data, execution, precision=precision)
        for execution in ("eager", "compile")
    )
    torch.testing.assert_close(
        compiled.module_.state_dict(),
        eager.module_.state_dict(),
        **TOLERANCES[precision],
    )
