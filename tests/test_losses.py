"""Losses: their formulas, their tails against mpmath, and targets that cannot be meant."""

import importlib
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

TAILS = [-1000.0, -745.2, -40.0, -1.5, -1e-9, 0.0, 1e-300, 0.3, 36.9, 40.0, 709.8, 1000.0]


@pytest.fixture
def losses(gg):
    return importlib.import_module(f"{gg.__name__}.losses")


def close(got, wanted, rel=4e-15):
    """Whether a float agrees with mpmath's number, which may be below the smallest float."""
    wanted = float(wanted)
    return got == wanted or abs(got - wanted) <= max(rel * abs(wanted), 5e-324)


def values(gg, numbers):
    return [gg.Value(x) for x in numbers]


# ---- what they are -------------------------------------------------------------------------------------------------


def test_mse_and_its_derivative(gg, losses):
    p = values(gg, [1.0, 4.0, -2.0])
    loss = losses.mse(p, [1.0, 2.0, 1.0])
    loss.backward()
    assert loss.data == pytest.approx(13 / 3)
    assert [v.grad for v in p] == pytest.approx([0.0, 4 / 3, -2.0])


def test_mse_takes_values_as_targets(gg, losses):
    a, b = gg.Value(3.0), gg.Value(1.0)
    losses.mse([a], [b]).backward()
    assert (a.grad, b.grad) == (4.0, -4.0)


def test_hinge_is_micrograds(gg, losses):
    scores, labels = values(gg, [0.5, -3.0, -0.25, 1.0]), [1, -1, 1, 1]
    loss = losses.hinge(scores, labels)
    loss.backward()
    assert loss.data == pytest.approx(sum(max(0, 1 - y * s.data) for y, s in zip(labels, scores, strict=True)) / 4)
    assert [s.grad for s in scores] == [-0.25, 0.0, -0.25, 0.0]  # at the margin 0, as relu'(0)


def test_cross_entropy_is_the_negative_log_of_softmax(gg, losses):
    row = values(gg, [0.2, -1.0, 3.0])
    loss = losses.cross_entropy(row, 1)
    loss.backward()
    exps = np.exp([0.2, -1.0, 3.0])
    p = exps / exps.sum()
    assert loss.data == pytest.approx(-math.log(p[1]), rel=1e-14)
    assert [v.grad for v in row] == pytest.approx([p[0], p[1] - 1, p[2]], rel=1e-13)


def test_cross_entropy_of_a_batch_is_the_mean_of_its_rows(gg, losses):
    rows = [values(gg, [0.0, 1.0]), values(gg, [2.0, -1.0])]
    single = [losses.cross_entropy(row, t).data for row, t in zip(rows, [1, 0], strict=True)]
    assert losses.cross_entropy(rows, np.array([1, 0])).data == pytest.approx(sum(single) / 2)
    assert losses.cross_entropy(rows, (1, 0), reduction="sum").data == pytest.approx(sum(single))
    assert [v.data for v in losses.cross_entropy(rows, [1, 0], reduction="none")] == single


def test_one_class_is_certain(gg, losses):
    z = gg.Value(5.0)
    loss = losses.cross_entropy([z], 0)
    loss.backward()
    assert (loss.data, z.grad) == (0.0, 0.0)


LOSSES = {
    "mse": ([0.5, 2.0], [1.0, -1.0]),
    "hinge": ([0.5, 2.0], [1, -1]),
    "binary_cross_entropy_with_logits": ([0.5, 2.0], [1, 0]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_agree(gg, losses, name):
    loss, (p, t) = getattr(losses, name), LOSSES[name]
    each = [v.data for v in loss(values(gg, p), t, reduction="none")]
    assert len(each) == 2
    assert loss(values(gg, p), t, reduction="sum").data == pytest.approx(sum(each))
    assert loss(values(gg, p), t).data == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_arrays_tuples_and_lone_values_are_taken(gg, losses, name):
    loss, (p, t) = getattr(losses, name), LOSSES[name]
    expected = loss(values(gg, p), t).data
    assert loss(tuple(values(gg, p)), np.array(t)).data == expected
    assert loss(np.array(values(gg, p)), tuple(t)).data == expected
    assert loss(iter(values(gg, p)), iter(t)).data == expected
    assert loss(gg.Value(p[0]), t[0]).data == loss([gg.Value(p[0])], [t[0]]).data


@pytest.mark.parametrize("name", LOSSES)
def test_plain_numbers_give_plain_numbers(gg, losses, name):
    loss, (p, t) = getattr(losses, name), LOSSES[name]
    result = loss(np.array(p), t)
    assert result == pytest.approx(loss(values(gg, p), t).data)


# ---- tails ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", TAILS)
@pytest.mark.parametrize("target", [0, 1])
def test_binary_cross_entropy_holds_in_the_tails(gg, losses, z, target):
    logit = gg.Value(z)
    loss = losses.binary_cross_entropy_with_logits(logit, target)
    loss.backward()
    with mpmath.workdps(900):
        away = mpmath.mpf(z) * (1 - 2 * target)
        assert close(loss.data, mpmath.log1p(mpmath.exp(away)))
        assert close(logit.grad, (1 - 2 * target) / (1 + mpmath.exp(-away)))


@pytest.mark.parametrize("z", TAILS)
def test_binary_cross_entropy_of_soft_targets(gg, losses, z):
    logit = gg.Value(z)
    loss = losses.binary_cross_entropy_with_logits([logit], [0.25])
    loss.backward()
    with mpmath.workdps(900):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        assert close(loss.data, -(mpmath.log(p) / 4 + mpmath.log(1 - p) * 3 / 4))
        assert close(logit.grad, p - 0.25, rel=1e-14)


@pytest.mark.parametrize("z", TAILS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("target", [0, 1])
def test_cross_entropy_holds_in_the_tails(gg, losses, z, classes, target):
    numbers = [z, -z / 2, 0.5][:classes]
    row = values(gg, numbers)
    loss = losses.cross_entropy(row, target)
    loss.backward()
    with mpmath.workdps(1500):
        exps = [mpmath.exp(mpmath.mpf(x)) for x in numbers]
        p = [e / sum(exps) for e in exps]
        assert close(loss.data, -mpmath.log(p[target]), rel=1e-14)
        for i, v in enumerate(row):
            # 1e-13: exp of a difference of 1000 carries 1000 half ulps of its argument
            assert close(v.grad, p[i] - (i == target), rel=3e-13)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.integers(0, 5))
def test_gradients_of_cross_entropy_sum_to_nothing(gg, numbers, target):
    losses = importlib.import_module(f"{gg.__name__}.losses")
    row = values(gg, numbers)
    losses.cross_entropy(row, target % len(row)).backward()
    assert sum(v.grad for v in row) == pytest.approx(0.0, abs=1e-14)
    assert all((v.grad <= 0) == (i == target % len(row)) or v.grad == 0 for i, v in enumerate(row))


# ---- what cannot be meant ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
def test_lengths_must_match(gg, losses, name):
    rows = values(gg, [1.0, 2.0])
    with pytest.raises(losses.LossError, match="2 predictions but 3 targets"):
        getattr(losses, name)([rows, rows] if name == "cross_entropy" else rows, [1, 1, 1])


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
def test_nothing_has_no_loss(losses, name):
    with pytest.raises(losses.LossError, match="no predictions"):
        getattr(losses, name)([], [])


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
def test_reductions_have_names(gg, losses, name):
    target = 0 if name == "cross_entropy" else 1
    with pytest.raises(losses.LossError, match="reduction is 'mean', 'sum' or 'none', not str 'avg'"):
        getattr(losses, name)([gg.Value(1.0)], target, reduction="avg")


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
@pytest.mark.parametrize("items", ["ab", None, {"a": 1}, object()])
def test_predictions_are_a_list(gg, losses, name, items):
    with pytest.raises(gg.OperandError, match="must be a list of Values or numbers"):
        getattr(losses, name)(items, [1, 2])


def test_rows_are_refused_where_scalars_are_meant(gg, losses):
    with pytest.raises(gg.OperandError, match="flatten first"):
        losses.mse([values(gg, [1.0, 2.0])], [[1.0, 2.0]])
    with pytest.raises(gg.OperandError, match="flatten first"):
        losses.hinge(values(gg, [1.0, 2.0]), np.array([[1], [1]]))


@pytest.mark.parametrize(
    ("label", "message"),
    [(0, r"2 \* y - 1"), (2, "-1 or \\+1"), (0.5, "-1 or"), (math.nan, "is nan"), (math.inf, "is inf")],
)
def test_hinge_labels_are_signs(gg, losses, label, message):
    with pytest.raises(losses.LossError, match=message):
        losses.hinge(values(gg, [1.0, 1.0]), [1, label])


@pytest.mark.parametrize(("target", "message"), [(-1, r"\(y \+ 1\) / 2"), (1.5, "between 0 and 1"), (math.nan, "nan")])
def test_probabilities_lie_between_0_and_1(gg, losses, target, message):
    with pytest.raises(losses.LossError, match=message):
        losses.binary_cross_entropy_with_logits([gg.Value(1.0)], [target])


@pytest.mark.parametrize("target", ["1", None, 1j])
@pytest.mark.parametrize("name", ["hinge", "binary_cross_entropy_with_logits"])
def test_targets_are_plain_numbers(gg, losses, name, target):
    with pytest.raises(gg.OperandError, match="must be a plain number"):
        getattr(losses, name)([gg.Value(1.0)], [target])
    with pytest.raises(gg.OperandError, match="must be a plain number"):
        getattr(losses, name)([gg.Value(1.0)], [gg.Value(1.0)])


def test_targets_may_be_numpys_bools(gg, losses):
    z = values(gg, [0.5, -2.0])
    labels = np.array([True, False])
    expected = losses.binary_cross_entropy_with_logits(z, [1, 0]).data
    for targets in (labels, list(labels), [True, False]):
        assert losses.binary_cross_entropy_with_logits(z, targets).data == expected
    assert losses.hinge(z[:1], [np.True_]).data == losses.hinge(z[:1], [1]).data
    assert losses.mse(z, list(labels)).data == losses.mse(z, [1.0, 0.0]).data


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
@pytest.mark.parametrize("wrong", ["a", None, 1j, {}])
def test_predictions_are_scalars(gg, losses, name, wrong):
    targets = 0 if name == "cross_entropy" else [1, 1]
    with pytest.raises(gg.OperandError, match=rf"{name}: .* 1 takes a real number, not"):
        getattr(losses, name)([gg.Value(1.0), wrong], targets)


def test_targets_of_mse_are_scalars(gg, losses):
    with pytest.raises(gg.OperandError, match="mse: target 1 takes a real number, not str 'b'"):
        losses.mse(values(gg, [1.0, 2.0]), [1.0, "b"])


@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy"])
def test_integers_that_no_float_holds_are_named(gg, losses, name):
    huge, one_class = 10**5000, name == "cross_entropy"
    with pytest.raises(gg.GlassgradError, match=rf"{name}: .* 0 "):
        getattr(losses, name)([huge, 1.0], 0 if one_class else [1, 1])
    with pytest.raises(gg.GlassgradError, match=rf"{name}: target 0 "):
        getattr(losses, name)([[1.0]] if one_class else [gg.Value(1.0)], [huge])


@pytest.mark.parametrize("target", [3, -1, 10**30, pytest.param(10**5000, id="huge")])
def test_class_indices_have_a_range(gg, losses, target):
    with pytest.raises(losses.LossError, match="3 logits have classes 0 to 2"):
        losses.cross_entropy(values(gg, [1.0, 2.0, 3.0]), target)
    with pytest.raises(losses.LossError, match="target 1 is"):
        losses.cross_entropy([values(gg, [1.0, 2.0, 3.0])] * 2, [0, target])


@pytest.mark.parametrize("target", [1.0, "1", True, None])
def test_class_indices_are_integers(gg, losses, target):
    with pytest.raises(gg.OperandError, match="class index"):
        losses.cross_entropy([values(gg, [1.0, 2.0])], [target])


def test_a_row_without_logits_is_refused(losses):
    with pytest.raises(losses.LossError, match="no logits"):
        losses.cross_entropy([[]], [0])


def test_what_is_not_finite_raises(gg, losses):
    bad = gg.Value(math.nan, "score")
    for loss, target in ((losses.mse, 1.0), (losses.hinge, 1), (losses.binary_cross_entropy_with_logits, 1)):
        with pytest.raises(gg.NonFiniteError):
            loss([bad], [target])
    with pytest.raises(gg.NonFiniteError):
        losses.cross_entropy([gg.Value(1.0), bad], 0)
