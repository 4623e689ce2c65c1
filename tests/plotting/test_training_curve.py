import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import clone

from sk_amips import AmortizedNeighbors
from sk_amips.plotting import TrainingCurveDisplay


def test_terms_and_metric_are_those_of_the_history(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted.key)
    history = fitted.key.history_
    assert set(display.lines_) == {
        f"{part}_{loss}"
        for part in ("train", "valid")
        for loss in ("loss", "score_loss", "key_loss")
    }
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), history[:, name])
    assert display.metric_name == "valid_match_rate"
    np.testing.assert_array_equal(display.metric, history[:, "valid_match_rate"])
    assert display.metric_ax_ is not display.ax_
    assert display.metric_ax_.get_ylabel() == "Validation match rate"


def test_a_single_term_is_not_drawn_beside_the_loss(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted.support)
    assert list(display.lines_) == ["train_loss", "valid_loss"]
    assert display.metric_name == "valid_routing_recall"


def test_the_best_epoch_is_that_of_the_weights(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted.support)
    assert display.best_epoch == 1 + np.argmax(display.metric)
    assert display.best_line_.get_xdata()[0] == display.best_epoch
    went_on = clone(fitted.support).fit(fitted.train).partial_fit(fitted.train)
    display = TrainingCurveDisplay.from_estimator(went_on)
    assert display.best_epoch is display.best_line_ is None
    assert np.isnan(display.losses["valid_loss"][-1])
    assert len(display.epochs) == 5


def test_without_validation_there_are_training_losses_alone(fitted):
    net = clone(fitted.support).set_params(early_stopping=False).fit(fitted.train)
    display = TrainingCurveDisplay.from_estimator(net)
    assert list(display.lines_) == ["train_loss"]
    assert display.metric_ax_ is display.metric_line_ is display.best_line_ is None


def test_a_history_marks_the_best_metric_or_loss(fitted):
    history = fitted.support.history_
    display = TrainingCurveDisplay.from_history(history, name="net")
    assert display.best_epoch == 1 + np.argmax(history[:, "valid_routing_recall"])
    losses = [{"epoch": i + 1, "train_loss": 1.0} for i in range(3)]
    for row, loss in zip(losses, [0.3, 0.2, 0.4], strict=True):
        row["valid_loss"] = loss
    assert TrainingCurveDisplay.from_history(losses).best_epoch == 2
    with pytest.raises(ValueError, match="at least one epoch"):
        TrainingCurveDisplay.from_history([])


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.0, 0.5], "linear"), ([1.0, 0.01], "log"), ([1.0, 0.0], "linear")],
)
def test_scale(losses, scale):
    losses = {"train_loss": np.array(losses)}
    display = TrainingCurveDisplay(epochs=np.array([1, 2]), losses=losses).plot()
    assert display.ax_.get_yscale() == scale


def test_one_epoch_can_be_seen():
    losses = {"train_loss": np.array([1.0])}
    display = TrainingCurveDisplay(epochs=np.array([1]), losses=losses).plot()
    assert display.lines_["train_loss"].get_marker() == "."


def test_two_runs_share_both_axes_and_no_color(fitted):
    first = TrainingCurveDisplay.from_estimator(fitted.support, name="one")
    second = TrainingCurveDisplay.from_estimator(fitted.key, name="two", ax=first.ax_)
    assert second.metric_ax_ is first.metric_ax_
    assert len(first.figure_.axes) == 2
    assert first.metric_ax_.get_ylabel() == "Validation metric"
    one, two = (
        {line.get_color() for line in [*run.lines_.values(), run.metric_line_]}
        for run in (first, second)
    )
    assert not one & two


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_the_legend_is_in_the_figure_and_covered_by_nothing(layout, fitted):
    figure, axes = plt.subplots(2, 2, figsize=(12, 9), layout=layout)
    for ax in axes.flat:
        display = TrainingCurveDisplay.from_estimator(fitted.key, ax=ax)
    figure.canvas.draw()
    legend = ax.get_legend()
    box = legend.get_window_extent()
    assert figure.bbox.containsx(box.x0)
    assert figure.bbox.containsx(box.x1)
    assert figure.bbox.containsy(box.y0)
    if layout is None:
        assert ax.get_zorder() > display.metric_ax_.get_zorder()
    else:
        assert box.y1 < ax.xaxis.label.get_window_extent().y0
        assert legend.axes is ax


def test_of_an_index_the_router_that_was_trained(fitted):
    index = AmortizedNeighbors(fitted.support, target_recall=0.9, fallback=False)
    display = TrainingCurveDisplay.from_estimator(index.fit(fitted.X))
    assert len(display.epochs) == fitted.support.n_iter_
    with pytest.raises(TypeError, match=r"trained a network.* got LinearRouter"):
        TrainingCurveDisplay.from_estimator(fitted.index)


@pytest.mark.parametrize("part", ["train_loss", "valid_loss"])
@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_losses_that_are_not_finite(part, loss):
    rows = [{"epoch": i, "train_loss": 1.0, "valid_loss": 1.0 / i} for i in (1, 2)]
    for row in rows:
        row[part] = loss
    display = TrainingCurveDisplay.from_history(rows)
    assert display.best_epoch == (2 if part == "train_loss" else None)
    alone = [{"epoch": 1, "train_loss": loss}]
    assert TrainingCurveDisplay.from_history(alone).ax_.get_yscale() == "linear"
    rows[0]["valid_loss"] = 3.0
    rows[1]["valid_loss"] = loss
    assert TrainingCurveDisplay.from_history(rows).best_epoch == 1


def test_a_metric_needs_no_name_and_a_plot_needs_losses():
    losses, metric = {"train_loss": [1.0, 0.5]}, [0.5, 0.6]
    display = TrainingCurveDisplay(epochs=[1, 2], losses=losses, metric=metric).plot()
    assert display.metric_ax_.get_ylabel() == "Validation metric"
    with pytest.raises(ValueError, match="losses must hold at least one curve"):
        TrainingCurveDisplay(epochs=[1, 2], losses={}).plot()
