"""Progress bars: silent unless asked for, labels and epochs, nothing left over."""

import io
import pickle
import re
from itertools import count

import numpy as np
import pytest
from skorch.callbacks import Callback
from tqdm import tqdm

from sk_amips.estimators._watch import FitWatch
from sk_amips.exact import partition_search
from sk_amips.exact._blocks import over_query_blocks
from sk_amips.exact._search import top_k
from sk_amips.partition import spherical_kmeans


def last_states(err):
    """The last state of what is counted, by its name."""
    states = [re.search(r"^\w+ (labels|epochs):.*", s) for s in re.split("[\r\n]", err)]
    return {state[1]: state[0] for state in states if state}


def full(n):
    return f" {n}/{n} "


def test_silent_unless_verbose(make, log, capfd):
    make(early_stopping=True).fit(log.train).partial_fit(log.test)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("params", [{}, {"n_partitions": 16, "early_stopping": True}])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_labels_then_epochs(make, log, capsys, params, n_jobs):
    est = make(verbose=1, n_jobs=n_jobs, **params).fit(log.train)
    out, err = capsys.readouterr()
    assert out == ""
    states = last_states(err)
    assert list(states) == ["labels", "epochs"]
    # Noisy queries are labelled too: those that are not held out are learned from.
    n_held_out = 100 if "early_stopping" in params else 0
    n_labelled = est.n_samples_seen_ + n_held_out
    if n_held_out:
        assert n_labelled > len(log.train)
    assert full(n_labelled) in states["labels"]
    assert full(3) in states["epochs"]
    assert "train_loss=" in states["epochs"]
    assert ("valid_loss=" in states["epochs"]) == (n_held_out > 0)
    for state in states.values():
        assert state.startswith(type(est).__name__)
        assert "100%" in state


def test_one_bar_is_left(make, log, capsys):
    make(verbose=1, early_stopping=True).fit(log.train)
    (left,) = [line for line in capsys.readouterr().err.split("\n") if line]
    assert " epochs: 100%" in left.split("\r")[-1]


def test_labels_of_all_kinds_are_counted(make, log, capsys):
    """Validation queries are searched twice: for the loss, and for the match rate."""
    make(verbose=1, early_stopping=True, noisy_queries=0.5).fit(
        log.train, X_val=log.test
    )
    n = 1000 + 500 + 2 * 200
    assert full(n) in last_states(capsys.readouterr().err)["labels"]


def test_given_targets_are_not_labelled(make, log, capsys):
    make(verbose=1).fit(log.train, log.train)
    assert list(last_states(capsys.readouterr().err)) == ["epochs"]


def test_labels_that_are_read_count_as_done(make, log, tmp_path, capsys):
    est = make(verbose=1, n_partitions=4, memory=str(tmp_path))
    for _ in range(2):
        est.fit(log.train)
        assert full(1000) in last_states(capsys.readouterr().err)["labels"]


def test_partial_fit_has_one_epoch(make, log, capsys):
    make(verbose=1).partial_fit(log.test)
    states = last_states(capsys.readouterr().err)
    assert full(200) in states["labels"]
    assert full(1) in states["epochs"]


def test_below_a_bar_of_the_user_nothing_is_left(make, log, capsys):
    with tqdm(total=1, desc="users", file=io.StringIO()):
        make(verbose=1).fit(log.test)
    assert not tqdm._instances
    err = capsys.readouterr().err
    assert "labels:" in err
    # The last thing written is an empty line, and a step back up.
    assert err.split("\r")[-1].lstrip(" ") == "\x1b[A"


class Fail(Callback):
    def __init__(self, method, error):
        setattr(self, method, self.fail)
        self.error = error

    def fail(self, net, **kwargs):
        raise self.error


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "method", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"]
)
def test_errors_close_the_bars(make, log, capsys, error, method):
    est = make(verbose=1, early_stopping=True, callbacks=[Fail(method, error)])
    with pytest.raises(error):
        est.fit(log.train)
    assert not tqdm._instances
    assert not hasattr(est, "net_")


def test_bad_parameters_close_the_bars(make, log):
    for params in ({"lr": 1e30}, {"net_params": {"clip_norm": -1.0}}):
        with pytest.raises(ValueError, match=r"lr|clip_norm"):
            make(verbose=1, early_stopping=True, **params).fit(log.train)
        assert not tqdm._instances


def test_early_stopping_counts_its_last_epoch(make, log, capsys):
    est = make(
        verbose=1, max_epochs=50, early_stopping=True, n_iter_no_change=2, lr=1e-9
    )
    est.fit(log.train)
    assert est.n_iter_ < 50
    assert f" {est.n_iter_}/50 " in last_states(capsys.readouterr().err)["epochs"]


def test_verbose_changes_nothing_else(make, log):
    a, b = (make(verbose=v, early_stopping=True).fit(log.train) for v in (0, 1))
    np.testing.assert_array_equal(a.transform(log.test), b.transform(log.test))
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(b)).transform(log.test), b.transform(log.test)
    )


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_blocks_report_their_queries(log, tmp_path, n_jobs):
    partition = spherical_kmeans(log.keys, 4, seed=0)
    options = {"n_jobs": n_jobs, "max_memory": 2**19, "device": "cpu"}
    for _ in range(2):
        for memory in (None, str(tmp_path)):
            done = []
            options |= {"memory": memory, "progress": done.append}
            top_k(log.keys, log.train, 2, max_norm=100.0, **options)
            assert sum(done) == len(log.train)
            done.clear()
            partition_search(log.keys, log.train, partition, **options)
            assert sum(done) == len(log.train)


def test_progress_is_reported_within_a_stored_block(tmp_path):
    queries = np.ones((10, 1))
    done = []

    def search(some):
        return some, None

    options = {"memory": str(tmp_path), "progress": done.append}
    over_query_blocks(search, queries, 4, **options)
    assert done == [4, 4, 2]
    over_query_blocks(search, queries, 4, **options)
    assert done[3:] == [10]


def test_a_watch_without_listeners_counts_nothing():
    with FitWatch() as watch:
        assert watch.labels(5) is None
        watch.begin_epochs(2)
        watch.begin_epoch()
        watch.end_epoch({"train_loss": 1.0})
        watch.end_epochs()
    assert not watch.stopped


def test_counts_of_threads_add_up(capsys):
    from joblib import Parallel, delayed

    with FitWatch("name") as watch:
        counted = watch.labels(2000)
        Parallel(n_jobs=4, prefer="threads")(
            delayed(counted)(0.5) for _ in zip(range(4000), count(), strict=False)
        )
        assert watch._bar.n == 2000
    assert full(2000) in last_states(capsys.readouterr().err)["labels"]
