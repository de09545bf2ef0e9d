"""Optimizers, clipping and schedules: torch's numbers, states that go on where they stopped, steps that are whole."""

import copy
import importlib
import json
import math
import pickle
import random
from array import array
from fractions import Fraction

import numpy as np
import pytest
from conftest import load_interpreted
from hypothesis import given
from hypothesis import strategies as st

import glassgrad

# PyTorch 2.13.0, float64: five steps from a = 0.5, b = -1.5 on 3(a - 1)² + a·b + (b + 2)⁴/10.
TORCH = {
    "SGD": ("SGD", {"lr": 0.1}, (1.294996792513438, -2.017709547703784)),
    "momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}, (1.8780568483842754, -2.123274133137455)),
    "dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5}, (1.7503379629339268, -1.850680889701822)),
    "nesterov": (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        (1.5547188175779283, -2.2667265895981092),
    ),
    "Adam": ("Adam", {}, (0.5049995151803714, -1.5050005483118796)),
    "Adam with decay": (
        "Adam",
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
        (0.9863475274544075, -2.0057462901794327),
    ),
    "AdamW": ("AdamW", {}, (0.5049744171554614, -1.5049254493701227)),
    "AdamW with decay": (
        "AdamW",
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.5},
        (0.8302797918825358, -1.6177197297696821),
    ),
}

# PyTorch 2.13.0: the learning rate of the first eight steps from lr = 0.1.
TORCH_RATES = {
    "StepLR": ({"step_size": 3, "gamma": 0.5}, [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]),
    "ExponentialLR": ({"gamma": 0.9}, [0.1, 0.09, 0.081, 0.0729, 0.06561, 0.059049, 0.0531441, 0.04782969]),
    "CosineAnnealingLR": (
        {"T_max": 6, "eta_min": 0.01},
        [0.1, 0.09397114317029975, 0.0775, 0.055, 0.0325, 0.01602885682970026, 0.01, 0.01602885682970026],
    ),
    "LinearLR": (
        {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 4},
        [0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1, 0.1, 0.1],
    ),
    "ConstantLR": ({"factor": 0.5, "total_iters": 3}, [0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1]),
    "LambdaLR": (
        {"lr_lambda": lambda k: 1 / (k + 1)},
        [0.1, 0.05, 0.1 / 3, 0.025, 0.02, 0.1 / 6, 0.1 / 7, 0.0125],
    ),
}

KINDS = ["SGD", "Adam", "AdamW"]


@pytest.fixture
def optim(gg):
    return importlib.import_module(f"{gg.__name__}.optim")


@pytest.fixture
def pair(gg):
    return [gg.Value(0.5, "a"), gg.Value(-1.5, "b")]


def sweep(pair):
    a, b = pair
    a.grad = b.grad = 0
    (3 * (a - 1) ** 2 + a * b + (b + 2) ** 4 / 10).backward()


def descend(optimizer, pair, steps):
    for _ in range(steps):
        sweep(pair)
        optimizer.step()
    return [p.data for p in pair]


# ---- torch's numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TORCH)
def test_five_steps_give_torchs_numbers(optim, pair, case):
    kind, arguments, expected = TORCH[case]
    assert descend(getattr(optim, kind)(pair, **arguments), pair, 5) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("case", TORCH_RATES)
def test_schedules_give_torchs_rates(optim, pair, case):
    arguments, expected = TORCH_RATES[case]
    optimizer = optim.SGD(pair, lr=0.1)
    scheduler = getattr(optim, case)(optimizer, **arguments)
    rates = []
    for _ in range(8):
        rates.append(optimizer.lr)
        assert scheduler.get_last_lr() == [optimizer.lr]
        scheduler.step()
    assert rates == pytest.approx(expected, rel=1e-14)


def test_clipping_gives_torchs_numbers(gg, optim):
    parameters = [gg.Value(0.0) for _ in range(3)]
    for p, g in zip(parameters, [3.0, 4.0, -12.0], strict=True):
        p.grad = g
    assert optim.clip_grad_norm_(parameters, 2.0) == 13.0
    expected = [0.46153842603550577, 0.615384568047341, -1.846153704142023]
    assert [p.grad for p in parameters] == pytest.approx(expected, rel=1e-15)
    before = [p.grad for p in parameters]
    assert optim.clip_grad_norm_(parameters, 100.0) == pytest.approx(2.0)
    assert [p.grad for p in parameters] == before  # small enough: not touched, not even rounded


def test_plain_sgd_is_micrograds_update_to_the_bit(gg, optim):
    p = gg.Value(0.3)
    p.grad = 0.7
    optim.SGD([p], lr=0.1).step()
    assert p.data == 0.3 - 0.1 * 0.7


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from(list(TORCH)))
def test_both_builds_agree_to_the_bit(gradients, case):
    kind, arguments, _ = TORCH[case]
    ends = []
    for package in (glassgrad, load_interpreted()):
        optim = importlib.import_module(f"{package.__name__}.optim")
        p = package.Value(1.0)
        optimizer = getattr(optim, kind)([p], **arguments)
        for g in gradients:
            p.grad = g
            optimizer.step()
        ends.append((p.data, optimizer.state_dict()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("case", TORCH)
def test_both_builds_agree_to_the_bit_on_many_parameters(case):
    """More than the loops take at a time, and not a whole number of vectors; of every size that a gradient has."""
    kind, arguments, _ = TORCH[case]
    ends = []
    for package in (glassgrad, load_interpreted()):
        optim = importlib.import_module(f"{package.__name__}.optim")
        rng = random.Random(5)
        parameters = [package.Value(rng.gauss(0.0, 1.0)) for _ in range(1037)]
        optimizer = getattr(optim, kind)(parameters, **arguments)
        for _ in range(3):
            for p in parameters:
                p.grad = rng.choice(
                    [0.0, -0.0, rng.gauss(0.0, 1.0), rng.gauss(0.0, 1.0) * 10.0 ** rng.randint(-320, 140)]
                )
            optimizer.step()
        ends.append(([p.data.hex() for p in parameters], optimizer.state_dict()))
    assert ends[0] == ends[1]


# ---- steps are whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(gg, optim, pair, kind, bad):
    optimizer = getattr(optim, kind)(pair, lr=0.1)
    descend(optimizer, pair, 2)
    before = ([p.data for p in pair], optimizer.state_dict())
    sweep(pair)
    pair[1].grad = bad
    with pytest.raises(gg.NonFiniteError, match=rf"{kind}\.step: the gradient of parameter 1 \('b'\) is {bad}"):
        optimizer.step()
    assert ([p.data for p in pair], optimizer.state_dict()) == before


def test_a_result_that_is_not_finite_changes_nothing(gg, optim, pair):
    optimizer = optim.SGD(pair, lr=1e10)
    pair[0].grad, pair[1].grad = 1.0, 1e300
    message = r"the new value of parameter 1 \('b'\) is -inf \(its gradient is 1e\+300"
    with pytest.raises(gg.NonFiniteError, match=message):
        optimizer.step()
    assert [p.data for p in pair] == [0.5, -1.5]
    assert optimizer.steps == 0


@pytest.mark.parametrize("gradient", [0.0, 1e-200])  # whose square is 0
def test_adam_divides_by_nothing_but_says_so(gg, optim, gradient):
    moved, still = gg.Value(1.0), gg.Value(2.0, "still")
    moved.grad, still.grad = 1.0, gradient
    optimizer = optim.Adam([moved, still], eps=0)
    with pytest.raises(gg.NonFiniteError, match=r"new value of parameter 1 \('still'\) is nan .*nothing was changed"):
        optimizer.step()
    assert (moved.data, still.data, optimizer.steps) == (1.0, 2.0, 0)


def test_a_state_that_is_not_finite_changes_nothing(gg, optim, pair):
    optimizer = optim.Adam(pair)
    pair[0].grad = 1e200  # its square overflows
    with pytest.raises(gg.NonFiniteError, match=r"the new exp_avg_sq of parameter 0 \('a'\) is inf"):
        optimizer.step()
    assert [p.data for p in pair] == [0.5, -1.5]


def test_errors_use_a_models_names(gg, optim):
    nn = importlib.import_module(f"{gg.__name__}.nn")
    model = nn.MLP(2, [2, 1])
    model.layers[1].neurons[0].b.grad = math.nan
    with pytest.raises(gg.NonFiniteError, match=r"parameter layers\.1\.neurons\.0\.b is nan"):
        optim.SGD(model).step()
    with pytest.raises(gg.NonFiniteError, match=r"parameter 8 \('b'\) is nan"):
        optim.SGD(model.parameters()).step()


def test_errors_cut_long_labels(gg, optim):
    p = gg.Value(1.0, "'" * 10_000)
    p.grad = math.inf
    with pytest.raises(gg.NonFiniteError, match=r"parameter 0 \(") as caught:
        optim.SGD([p]).step()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_parameters_stay(optim, pair, kind):
    optimizer = getattr(optim, kind)(pair, lr=0.1, weight_decay=0.1)
    pair[1].requires_grad = False
    descend(optimizer, pair, 3)
    assert pair[1].data == -1.5
    assert pair[0].data != 0.5
    assert all(numbers[1] == 0.0 for numbers in optimizer.state_dict()["state"].values())


def test_zero_grad(optim, pair):
    sweep(pair)
    assert [p._has_grad for p in pair] == [True, True]
    optim.SGD(pair).zero_grad()
    assert [(p.grad, p._has_grad, p.requires_grad) for p in pair] == [(0.0, False, True)] * 2


def test_the_learning_rate_may_change_between_steps(gg, optim):
    p = gg.Value(1.0)
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert p.data == 1.0 - 0.1 - 0.5


@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf, "0.1", None, True])
def test_impossible_learning_rates_are_refused(gg, optim, pair, lr):
    with pytest.raises(gg.GlassgradError, match="lr must be"):
        optim.SGD(pair, lr=lr)
    optimizer = optim.SGD(pair, lr=0.1)
    with pytest.raises(gg.GlassgradError, match="lr must be"):
        optimizer.lr = lr
    assert optimizer.lr == 0.1


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("SGD", {"momentum": -0.1}, "momentum must be at least 0"),
        ("SGD", {"weight_decay": math.nan}, "weight_decay must be"),
        ("SGD", {"nesterov": True}, "nesterov needs a momentum"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "no dampening"),
        ("SGD", {"nesterov": "no", "momentum": 0.9}, "nesterov must be True or False, got str 'no'"),
        ("SGD", {"nesterov": 1, "momentum": 0.9}, "nesterov must be True or False"),
        ("SGD", {"lr": 10**400}, "lr must be at least 0 and finite, got int 1000"),
        ("SGD", {"momentum": Fraction(10) ** 400}, "momentum must be at least 0 and finite"),
        ("Adam", {"betas": (0.9, 10**400)}, "each of betas must be at least 0 and below 1"),
        ("Adam", {"betas": (1.0, 0.9)}, "betas must be at least 0 and below 1"),
        ("Adam", {"betas": (0.9, -0.1)}, "betas must be"),
        ("Adam", {"betas": 0.9}, "betas must be two numbers"),
        ("Adam", {"betas": (0.9,)}, "betas must be two numbers"),
        ("AdamW", {"eps": -1.0}, "eps must be"),
    ],
)
def test_impossible_settings_are_refused(optim, pair, kind, arguments, message):
    with pytest.raises(optim.OptimError, match=message):
        getattr(optim, kind)(pair, **arguments)


# ---- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_cannot_be_changed_are_refused(gg, optim, kind):
    make, v = getattr(optim, kind), gg.Value(1.0)
    with pytest.raises(optim.OptimError, match="no parameters"):
        make([])
    with pytest.raises(gg.OperandError, match=r"parameter 1 must be a Value, got float 2\.0"):
        make([v, 2.0])
    with pytest.raises(optim.OptimError, match="parameter 1 is parameter 0 a second time"):
        make([v, v])
    with pytest.raises(optim.OptimError, match="is the result of an operation"):
        make([v * 2])
    with pytest.raises(gg.OperandError, match=r"write \[p\]"):
        make(v)
    for bad in (None, 3, "ab", {"a": v}):
        with pytest.raises(gg.OperandError, match=r"Module or a list of Values"):
            make(bad)
    with pytest.raises(optim.OptimError, match="no parameters"):
        optim.clip_grad_norm_([], 1.0)


def test_parameters_may_be_a_module_or_any_iterable(gg, optim):
    nn = importlib.import_module(f"{gg.__name__}.nn")
    model = nn.Neuron(2)
    for parameters in (model, model.parameters(), tuple(model.parameters()), iter(model.parameters())):
        assert optim.SGD(parameters).params == model.parameters()


def test_clipping_refuses_what_has_no_norm(gg, optim, pair):
    pair[0].grad, pair[1].grad = 1.0, math.nan
    with pytest.raises(gg.NonFiniteError, match=r"the gradient of parameter 1 \('b'\) is nan"):
        optim.clip_grad_norm_(pair, 1.0)
    assert pair[0].grad == 1.0
    pair[0].grad = pair[1].grad = 1.5e308
    with pytest.raises(gg.NonFiniteError, match="norm of 2 gradients"):
        optim.clip_grad_norm_(pair, 1.0)
    for bad in (-1.0, math.nan, "1"):
        with pytest.raises(gg.GlassgradError, match="max_norm must be"):
            optim.clip_grad_norm_(pair, bad)


def test_clipping_leaves_a_gradient_of_zero_computed(optim, pair):
    (pair[0] * 0.0 + pair[1] * 5.0).backward()
    optim.clip_grad_norm_(pair, 1.0)
    assert [p._has_grad for p in pair] == [True, True]


def test_clipping_does_not_overflow(optim, pair):
    pair[0].grad, pair[1].grad = 3e200, 4e200
    assert optim.clip_grad_norm_(pair, 1.0) == pytest.approx(5e200)
    assert [p.grad for p in pair] == pytest.approx([0.6, 0.8])


# ---- states --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TORCH)
def test_a_state_goes_on_where_it_stopped(gg, optim, pair, case):
    kind, arguments, expected = TORCH[case]
    first = getattr(optim, kind)(pair, **arguments)
    descend(first, pair, 2)
    stored = json.loads(json.dumps(first.state_dict()))
    later = [gg.Value(p.data) for p in pair]
    second = getattr(optim, kind)(later, lr=123.0)
    second.load_state_dict(stored)
    assert second.lr == first.lr
    assert descend(second, later, 3) == pytest.approx(expected, rel=1e-13)


def damaged(state, key, value):
    return {**state, key: value}


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: None,
        lambda s: [],
        lambda s: {k: v for k, v in s.items() if k != "lr"},
        lambda s: damaged(s, "extra", 1),
        lambda s: damaged(s, "optimizer", "SGD"),
        lambda s: damaged(s, "steps", -1),
        lambda s: damaged(s, "steps", "3"),
        lambda s: damaged(s, "steps", 10**400),
        lambda s: damaged(s, "lr", 10**400),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": [1.0, 10**400]}),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": b"123"}),
        lambda s: damaged(s, "lr", -1.0),
        lambda s: damaged(s, "betas", [0.9, 1.0]),
        lambda s: damaged(s, "eps", math.nan),
        lambda s: damaged(s, "state", None),
        lambda s: damaged(s, "state", {}),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": [1.0]}),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": [1.0, math.nan]}),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": [1.0, "2"]}),
        lambda s: damaged(s, "state", {**s["state"], "exp_avg": 3}),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(gg, optim, pair, damage):
    optimizer = optim.Adam(pair)
    descend(optimizer, pair, 2)
    before = optimizer.state_dict()
    with pytest.raises(gg.GlassgradError, match="Adam"):
        optimizer.load_state_dict(damage(copy.deepcopy(before)))
    assert optimizer.state_dict() == before


def test_optimizers_are_copied_and_pickled_with_their_parameters(optim, pair):
    optimizer = optim.Adam(pair, lr=0.1)
    descend(optimizer, pair, 2)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.state_dict() == optimizer.state_dict()
        assert descend(twin, twin.params, 1) != [p.data for p in pair]


def test_a_shallow_copy_has_a_state_of_its_own(optim, pair):
    optimizer = optim.Adam(pair, lr=0.1)
    descend(optimizer, pair, 2)
    twin, before = copy.copy(optimizer), optimizer.state_dict()
    twin.lr = 0.2
    descend(twin, pair, 2)
    assert optimizer.state_dict() == before
    assert twin.state_dict()["steps"] == 4
    assert twin.params[0] is optimizer.params[0], "of the same parameters"


def test_repr_says_what_it_is(optim, pair):
    text = repr(optim.SGD(pair, lr=0.1, momentum=0.9))
    assert text == "SGD(2 parameters, lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)"


# ---- schedules -----------------------------------------------------------------------------------------------------


def test_a_schedule_goes_on_where_it_stopped(optim, pair):
    optimizer = optim.SGD(pair, lr=0.1)
    scheduler = optim.StepLR(optimizer, 2)
    scheduler.step()
    stored = json.loads(json.dumps(scheduler.state_dict()))
    other = optim.SGD(pair, lr=7.0)
    resumed = optim.StepLR(other, 2)
    resumed.load_state_dict(stored)
    assert other.lr == 0.1
    resumed.step()
    assert other.lr == pytest.approx(0.01)


@pytest.mark.parametrize(
    "state",
    [None, {}, {"base_lr": 0.1}, {"base_lr": -1.0, "last_epoch": 0}, {"base_lr": 1.0, "last_epoch": -1}],
)
def test_a_damaged_schedule_is_refused(gg, optim, pair, state):
    optimizer = optim.SGD(pair, lr=0.1)
    scheduler = optim.ExponentialLR(optimizer, 0.5)
    with pytest.raises(gg.GlassgradError, match="ExponentialLR"):
        scheduler.load_state_dict(state)
    assert (optimizer.lr, scheduler.state_dict()) == (0.1, {"base_lr": 0.1, "last_epoch": 0})


def test_impossible_schedules_are_refused(gg, optim, pair):
    optimizer = optim.SGD(pair, lr=0.1)
    for make in (
        lambda: optim.StepLR(optimizer, 0),
        lambda: optim.StepLR(optimizer, 2.0),
        lambda: optim.ExponentialLR(optimizer, -0.5),
        lambda: optim.CosineAnnealingLR(optimizer, -1),
        lambda: optim.LinearLR(optimizer, total_iters=0),
        lambda: optim.LambdaLR(optimizer, 0.5),
        lambda: optim.LambdaLR(optimizer, lambda _: -1.0),
        lambda: optim.LambdaLR(optimizer, lambda _: math.nan),
        lambda: optim.StepLR(pair, 2),
        lambda: optim.StepLR(optim.SGD, 2),
        lambda: optim.StepLR(None, 2),
    ):
        with pytest.raises(gg.GlassgradError):
            make()
    assert optimizer.lr == 0.1


def test_counts_and_flags_may_be_numpys(optim, pair):
    optimizer = optim.SGD(pair, lr=np.float32(0.5), momentum=np.float64(0.9), nesterov=np.bool_(True))
    assert json.loads(json.dumps(optimizer.state_dict()))["nesterov"] is True
    scheduler = optim.StepLR(optimizer, np.int64(2), gamma=np.float32(0.5))
    for _ in range(2):
        scheduler.step()
    assert optimizer.lr == 0.25
    assert optim.CosineAnnealingLR(optimizer, np.int32(4)).T_max == 4


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", None, True, np.True_, 10**400, np.array([2])])
def test_counts_are_integers_that_a_float_holds(optim, pair, count):
    optimizer = optim.SGD(pair, lr=0.1)
    for name, make in (("StepLR: step_size", optim.StepLR), ("CosineAnnealingLR: T_max", optim.CosineAnnealingLR)):
        with pytest.raises(optim.OptimError, match=rf"{name} must be an integer from 1 to 2\*\*53, got"):
            make(optimizer, count)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (lambda _: None, "LambdaLR: the factor must be a number, got NoneType None; is a return missing"),
        (lambda _: "0.5", "the factor must be a number, got str '0.5'"),
        (lambda _: 10**400, "LambdaLR: the rate after 1 steps is beyond every float"),
        (lambda k: 10.0 ** (400 * k), "the rate after 1 steps is beyond every float"),
    ],
    ids=["None", "text", "int", "power"],
)
def test_a_factor_that_is_no_number_is_refused(gg, optim, pair, factor, message):
    optimizer = optim.SGD(pair, lr=0.1)
    scheduler = optim.LambdaLR(optimizer, lambda k: factor(k) if k else 1.0)
    with pytest.raises(gg.GlassgradError, match=message):
        scheduler.step()
    assert (optimizer.lr, scheduler.last_epoch) == (0.1, 0)


def test_a_rate_that_grows_beyond_every_float_is_refused(optim, pair):
    optimizer = optim.SGD(pair, lr=1.0)
    for scheduler in (optim.ExponentialLR(optimizer, 1e200), optim.StepLR(optimizer, 1, gamma=1e200)):
        scheduler.step()
        with pytest.raises(optim.OptimError, match="LR: the rate after 2 steps is beyond every float"):
            scheduler.step()
        assert (optimizer.lr, scheduler.last_epoch) == (1e200, 1)
        optimizer.lr = 1.0


def test_a_schedule_that_fails_keeps_the_rate(gg, optim, pair):
    optimizer = optim.SGD(pair, lr=0.1)
    scheduler = optim.LambdaLR(optimizer, lambda k: 1.0 if k == 0 else -1.0)
    with pytest.raises(gg.GlassgradError, match="lr must be"):
        scheduler.step()
    assert (optimizer.lr, scheduler.last_epoch) == (0.1, 0)


def test_schedules_are_where_torch_has_them(optim):
    assert optim.lr_scheduler.__name__ == optim.__name__.replace("optim", "lr_scheduler")
    assert set(optim.lr_scheduler.__all__) < set(optim.__all__)
    for name in optim.lr_scheduler.__all__:
        assert getattr(optim, name) is getattr(optim.lr_scheduler, name)


# ---- one's own -----------------------------------------------------------------------------------------------------


def test_a_subclass_only_says_how_to_update(gg, optim):
    class Adagrad(optim.Optimizer):
        state_names = ("total",)

        def update(self, data, grad, state):
            assert isinstance(data, array)
            for i, g in enumerate(grad):
                state["total"][i] += g * g
                data[i] -= self.lr * g / math.sqrt(state["total"][i])

    p = gg.Value(1.0)
    optimizer = Adagrad([p], lr=0.5)
    for expected in (0.5, 0.5 - 0.5 / math.sqrt(2)):
        p.grad = 2.0
        optimizer.step()
        assert p.data == pytest.approx(expected)
    assert optimizer.state_dict()["state"] == {"total": [8.0]}
    assert optimizer.state_dict()["lr"] == 0.5
    with pytest.raises(NotImplementedError, match="must define update"):
        optim.Optimizer([p]).step()


def test_a_subclass_may_have_settings(gg, optim):
    class Decaying(optim.Optimizer):
        def __init__(self, params, lr=0.1, power=0.5):
            super().__init__(params, lr, power=power)
            self.log = []  # not a setting

        def update(self, data, grad, state):
            for i, g in enumerate(grad):
                data[i] -= self.lr / (self.steps + 1) ** self.power * g

    first, p = Decaying([gg.Value(1.0)], power=2.0), gg.Value(1.0)
    assert repr(first) == "Decaying(1 parameters, lr=0.1, power=2.0)"
    second = Decaying([p])
    second.load_state_dict(first.state_dict())
    assert second.power == 2.0


def test_an_update_that_fails_changes_nothing(gg, optim):
    class Broken(optim.Optimizer):
        def update(self, data, grad, state):
            data[0] = 99.0
            raise KeyboardInterrupt

    p = gg.Value(1.0)
    with pytest.raises(KeyboardInterrupt):
        Broken([p]).step()
    assert p.data == 1.0
