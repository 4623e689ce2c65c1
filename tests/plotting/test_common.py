"""What all displays have in common."""

import pickle
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import sk_amips.plotting
from sk_amips.plotting import (
    CalibrationDisplay,
    RecallCostDisplay,
    RoutingDisplay,
    ScoreErrorDisplay,
    TrainingCurveDisplay,
)

# Each display with an estimator that it can be made of.
CASES = [
    (CalibrationDisplay, "index"),
    (RecallCostDisplay, "linear"),
    (RoutingDisplay, "linear"),
    (ScoreErrorDisplay, "linear"),
    (TrainingCurveDisplay, "support"),
]
every_display = pytest.mark.parametrize(
    ("display_class", "kind"), CASES, ids=[cls.__name__ for cls, _ in CASES]
)


def make(display_class, estimator, X, **kwargs):
    """A display of an estimator; that of its training looks at no queries."""
    queries = () if display_class is TrainingCurveDisplay else (X,)
    return display_class.from_estimator(estimator, *queries, **kwargs)


def test_every_display_is_here():
    assert {cls.__name__ for cls, _ in CASES} == set(sk_amips.plotting.__all__)


@every_display
def test_draws_on_a_new_figure(display_class, kind, fitted):
    display = make(display_class, getattr(fitted, kind), fitted.X)
    assert isinstance(display, display_class)
    assert plt.get_fignums() == [display.figure_.number]
    assert display.ax_.figure is display.figure_
    assert display.ax_.get_xlabel()
    assert display.ax_.get_ylabel()
    assert display.ax_.get_legend() is not None


@every_display
def test_is_pickled_with_its_figure(display_class, kind, fitted):
    display = make(display_class, getattr(fitted, kind), fitted.X)
    again = pickle.loads(pickle.dumps(display))
    assert again.ax_.get_xlabel() == display.ax_.get_xlabel()


@every_display
def test_draws_on_given_axes(display_class, kind, fitted):
    figure, axes = plt.subplots(2)
    display = make(display_class, getattr(fitted, kind), fitted.X, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert not axes[0].has_data()
    assert len(plt.get_fignums()) == 1


@every_display
def test_neither_shows_nor_closes_figures(display_class, kind, fitted, monkeypatch):
    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(plt, "show", lambda *args: calls.append("show"))
        patched.setattr(plt, "close", lambda *args: calls.append("close"))
        make(display_class, getattr(fitted, kind), fitted.X)
    assert not calls


@every_display
def test_plots_again_what_it_stores(display_class, kind, fitted):
    display = make(display_class, getattr(fitted, kind), fitted.X)
    stored = {k: v for k, v in vars(display).items() if not k.endswith("_")}
    first = display.ax_
    assert display.plot() is display
    assert display.ax_ is not first
    assert len(display.ax_.get_lines()) == len(first.get_lines())
    assert stored == {k: v for k, v in vars(display).items() if not k.endswith("_")}
    copy = display_class(**stored).plot()
    assert copy.ax_.get_xlim() == display.ax_.get_xlim()
    assert copy.ax_.get_ylim() == display.ax_.get_ylim()


@every_display
def test_nothing_is_done_by_the_constructor(display_class, kind, fitted):
    display = make(display_class, getattr(fitted, kind), fitted.X)
    stored = {k: v for k, v in vars(display).items() if not k.endswith("_")}
    figures = plt.get_fignums()
    assert vars(display_class(**stored)) == stored
    assert plt.get_fignums() == figures


@every_display
def test_two_on_the_same_axes_have_two_names(display_class, kind, fitted):
    estimator = getattr(fitted, kind)
    first = make(display_class, estimator, fitted.X, name="one")
    make(display_class, estimator, fitted.X, name="two", ax=first.ax_)
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert len(labels) == len(set(labels))
    assert {label[:3] for label in labels} >= {"one", "two"}


@every_display
def test_keywords_reach_matplotlib_by_any_alias(display_class, kind, fitted):
    short = make(display_class, getattr(fitted, kind), fitted.X, zorder=7, lw=3)
    artists = [*short.ax_.get_lines(), *short.ax_.collections]
    assert any(artist.get_zorder() == 7 for artist in artists)


@every_display
def test_the_last_step_of_a_pipeline_is_drawn(display_class, kind, fitted):
    step = clone(getattr(fitted, kind))
    pipeline = make_pipeline(Normalizer(), step).fit(fitted.train)
    display = make(display_class, pipeline, fitted.X)
    direct = make(display_class, pipeline[-1], Normalizer().transform(fitted.X))
    assert display.ax_.get_ylim() == direct.ax_.get_ylim()


@every_display
def test_the_best_of_a_grid_search_is_drawn(display_class, kind, fitted):
    estimator = clone(getattr(fitted, kind))
    search = GridSearchCV(estimator, {"n_jobs": [None]}, cv=2)
    pipeline = make_pipeline(Normalizer(), make_pipeline(search)).fit(fitted.train)
    display = make(display_class, pipeline, fitted.X)
    direct = make(
        display_class,
        pipeline[-1][-1].best_estimator_,
        Normalizer().transform(fitted.X),
    )
    assert display.ax_.get_ylim() == direct.ax_.get_ylim()


@every_display
def test_queries_are_not_modified(display_class, kind, fitted):
    before = fitted.X.copy()
    make(display_class, getattr(fitted, kind), fitted.X)
    assert (before == fitted.X).all()


@every_display
def test_an_estimator_must_be_fitted(display_class, kind, fitted):
    with pytest.raises(NotFittedError):
        make(display_class, clone(getattr(fitted, kind)), fitted.X)
    assert not plt.get_fignums()


@every_display
def test_other_estimators_are_refused(display_class, kind, fitted):
    other = Normalizer().fit(fitted.X)
    with pytest.raises(TypeError, match=r"estimator must .*, got Normalizer"):
        make(display_class, other, fitted.X)


@every_display
def test_hint_where_matplotlib_is_missing(display_class, kind, fitted, monkeypatch):
    display = make(display_class, getattr(fitted, kind), fitted.X)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    hint = r'needs matplotlib: pip install "sk-amips\[plot\]"'
    with pytest.raises(ImportError, match=rf"{display_class.__name__}.plot {hint}"):
        display.plot()
    with pytest.raises(ImportError, match=rf"from_estimator {hint}"):
        make(display_class, getattr(fitted, kind), fitted.X)


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, sk_amips.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "display_class",
    [CalibrationDisplay, RecallCostDisplay, RoutingDisplay, ScoreErrorDisplay],
)
def test_exact_keys_can_be_shared(display_class, fitted):
    exact = sk_amips.exact_search(fitted.keys, fitted.X, 12)
    searched = display_class.from_estimator(fitted.index, fitted.X)
    given = display_class.from_estimator(fitted.index, fitted.X, exact=exact)
    assert given.ax_.get_ylim() == searched.ax_.get_ylim()


@pytest.mark.parametrize(
    "display_class",
    [CalibrationDisplay, RecallCostDisplay, RoutingDisplay, ScoreErrorDisplay],
)
def test_exact_keys_must_be_those_of_the_queries(display_class, fitted):
    exact = sk_amips.exact_search(fitted.keys, fitted.X[:-1], 5)
    with pytest.raises(ValueError, match=r"exact must be .* \(80, k\), got \(79, 5\)"):
        display_class.from_estimator(fitted.index, fitted.X, exact=exact)
