"""One seed: torch's own loop step by step, sample-weighted averages, exact repetition, also after an interruption."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.optim import SGD, Adam, lr_scheduler

from mnistlib import augment, data, models, train
from mnistlib.augment import Augment
from mnistlib.errors import TrainingError
from mnistlib.recipe import Optimizer, Recipe, Schedule
from mnistlib.runs import Run, run
from mnistlib.train import Trainer

TINY = Recipe("selection.nets:strided_pool", epochs=2, batch_size=64, augment=Augment(degrees=5), dropout=0.1, ema_decay=0.9)
PLAIN = replace(TINY, augment=None, dropout=0.0, ema_decay=0.0)


def same(a: Run, b: Run) -> bool:
    """Say whether two runs are bit-equal, times apart."""
    histories = [{name: values for name, values in vars(one.history).items() if name != "seconds"} for one in (a, b)]
    weights = a.weights.keys() == b.weights.keys() and all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    evaluated = np.array_equal(a.predictions, b.predictions) and np.array_equal(a.confidences, b.confidences)
    return histories[0] == histories[1] and weights and evaluated and a.train_accuracy_clean == b.train_accuracy_clean


def test_one_seed_repeats_exactly_whatever_was_drawn_before_and_another_differs(few):
    first, other = (run.train(TINY, few, seed) for seed in (0, 1))
    torch.rand(7), np.random.default_rng().random()
    assert same(first, run.train(TINY, few, 0)) and not same(first, other)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ema_decay": 0.0, "dropout": 0.0},
        {"optimizer": Optimizer(weight_decay=1e-3)},
        {"optimizer": Optimizer("adam", lr=0.01), "ema_decay": 0.99},
        {"schedule": None, "optimizer": Optimizer(momentum=0.0)},
    ],
)
def test_a_resumed_run_ends_bit_equal_to_an_undisturbed_one(few, change):
    recipe = replace(TINY, epochs=3, **change)
    kept = []

    def keep(now: run.State) -> None:
        kept.append(copy.deepcopy(now))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(recipe, few, 0, after_epoch=keep)
    assert len(kept[1].history.seconds) == 2
    assert same(run.train(recipe, few, 0, state=kept[1]), run.train(recipe, few, 0))
    assert len(kept[1].history.seconds) == 2  # a state can be resumed again


def test_a_run_that_was_stopped_after_its_last_epoch_ends_as_an_undisturbed_one(few):
    kept = []
    whole = run.train(TINY, few, 0, after_epoch=lambda now: kept.append(copy.deepcopy(now)))
    assert same(run.train(TINY, few, 0, state=kept[-1]), whole)


def test_two_epochs_differ_in_order_and_each_sees_every_image_once(few):
    labels = torch.arange(300)  # the label is the image's place
    trainer, seen = Trainer(PLAIN, 0), []
    for _ in range(2):
        seen.append(torch.cat([targets for _, targets in trainer.batches(few.train.images, labels)]))
        trainer.history.seconds.append(0.0)
    assert not torch.equal(*seen)
    for order in seen:
        assert torch.equal(order.sort().values, labels)


def test_a_last_batch_of_one_joins_the_one_before():
    assert train.batch_bounds(257, 128) == [(0, 128), (128, 257)]
    assert train.batch_bounds(256, 128) == [(0, 128), (128, 256)] and train.batch_bounds(130, 128) == [(0, 128), (128, 130)]
    assert train.batch_bounds(1, 128) == [(0, 1)]


@pytest.mark.parametrize("warps", [None, Augment(degrees=9, translate=2, elastic=0.5)])
def test_an_epochs_batches_are_what_the_plain_way_makes_of_each_batch(few, warps):
    """The quick way prepares an epoch at once; the plain one takes batch by batch."""
    trainer, (images, labels) = Trainer(replace(PLAIN, augment=warps), 7), (few.train.images, few.train.labels)
    trainer.history.seconds = [0.0] * 3
    quick = list(trainer.batches(images, labels))
    assert [len(targets) for _, targets in quick] == [64, 64, 64, 64, 44]
    order = torch.randperm(300, generator=torch.Generator().manual_seed(train.derive_seed(7, "order", 3)))
    if warps is not None:
        drawn = augment.draw(300, warps, torch.Generator().manual_seed(train.derive_seed(7, "augment", 3)))
    for place, batch in enumerate(order.split(64)):
        pixels = images[batch][:, None].float() / 255
        if warps is not None:
            own = augment.AffineParams(**{name: value[64 * place : 64 * (place + 1)] for name, value in vars(drawn).items()})
            pixels = augment.warp(pixels, augment.to_grid(own, 28))
        torch.testing.assert_close(quick[place][0], (pixels - data.MEAN) / data.SD, atol=2e-5, rtol=0)
        assert torch.equal(quick[place][1], labels[batch])


def test_averages_weigh_images_not_batches(few):
    """With a learning rate of next to nothing and no warps, the running loss is the mean over all images, short last batch or not."""
    recipe = replace(PLAIN, optimizer=Optimizer(lr=1e-6, momentum=0), batch_size=280, epochs=1)  # batches of 280 and 20
    done = run.train(recipe, few, 0)
    net = train.new_model(recipe, 0).train()
    with torch.no_grad():
        out = [(net(pixels), targets) for pixels, targets in Trainer(recipe, 0).batches(few.train.images, few.train.labels)]
    losses = [F.cross_entropy(logits, targets).item() for logits, targets in out]
    correct = sum((logits.argmax(1) == targets).sum().item() for logits, targets in out)
    assert done.history.train_loss[0] == pytest.approx((280 * losses[0] + 20 * losses[1]) / 300, rel=1e-4)
    assert done.history.train_loss[0] != pytest.approx(sum(losses) / 2, rel=1e-4)
    assert done.history.train_accuracy[0] == pytest.approx(correct / 300, abs=1 / 300)


def test_the_stated_accuracy_is_that_of_the_final_weights(few):
    done = run.train(TINY, few, 0)
    net = models.build(TINY.model, TINY.dropout)
    net.load_state_dict(done.weights)
    loss, predictions, confidences = train.evaluate(net, few.eval)
    assert np.array_equal(predictions, done.predictions) and predictions.dtype == np.uint8
    assert train.accuracy(predictions, few.eval) == done.history.eval_accuracy[-1] == done.final
    assert loss == pytest.approx(done.history.eval_loss[-1], rel=1e-5)
    assert ((confidences > 0.1) & (confidences <= 1)).all() and confidences.dtype == np.float32
    assert train.accuracy(train.evaluate(net, few.train)[1], few.train) == done.train_accuracy_clean
    assert done.n_train == 300 and done.kept_epoch is None
    assert done.history.learning_rate[-1] < done.history.learning_rate[0] <= TINY.optimizer.lr


def test_logits_do_not_depend_on_how_many_are_computed_at_a_time(few, monkeypatch):
    net = train.new_model(PLAIN, 0)
    whole = train.logits(net, few.eval)
    monkeypatch.setattr(train, "EVAL_BATCH", 33)
    torch.testing.assert_close(train.logits(net, few.eval), whole, atol=1e-5, rtol=1e-5)
    assert whole.shape == (200, 10)


@pytest.mark.parametrize(("everything", "rest"), [(False, 0.0), (True, 0.5)])
def test_weight_decay_pulls_what_the_recipe_says(everything, rest):
    net = models.build("selection.nets:strided_pool")
    recipe = replace(PLAIN, optimizer=Optimizer(weight_decay=0.5, decay_norm_and_bias=everything))
    kernels, others = train.make_optimizer(net.parameters(), recipe).param_groups
    assert {p.ndim for p in kernels["params"]} == {2, 4} and kernels["weight_decay"] == 0.5
    assert {p.ndim for p in others["params"]} == {1} and others["weight_decay"] == rest
    assert len(kernels["params"]) + len(others["params"]) == len(list(net.parameters()))


def test_a_run_that_diverges_says_so(few):
    with pytest.raises(TrainingError, match=r"Seed 0 diverged in epoch \d.* 100"):
        run.train(replace(PLAIN, optimizer=Optimizer(lr=100.0, momentum=0.99), batch_size=20), few, 0)


def test_the_average_of_weights_forgets_its_first_steps_soon():
    trainer = Trainer(replace(PLAIN, ema_decay=0.998), 0)
    for parameter in trainer.model.parameters():
        torch.nn.init.constant_(parameter, 100.0)
    for _ in range(100):
        trainer.ema_model.update_parameters(trainer.model)
    assert all(parameter.min() > 99 for parameter in trainer.eval_model.parameters())


def test_the_average_of_weights_moves_as_its_formula_says(few):
    trainer = Trainer(replace(PLAIN, ema_decay=0.6), 0)
    name, expected = "0.norm.weight", trainer.model.state_dict()["0.norm.weight"].clone()
    for n in range(1, 20):
        with torch.no_grad():
            trainer.model.state_dict()[name].add_(n)
        trainer.ema_model.update_parameters(trainer.model)
        decay = min(0.6, n / (9 + n))
        expected = decay * expected + (1 - decay) * trainer.model.state_dict()[name]
        torch.testing.assert_close(trainer.eval_model.state_dict()[name], expected)


STEPS = 3 * 5  # three epochs of five batches
PARITY = [
    (
        {"optimizer": Optimizer(lr=0.02, nesterov=False, weight_decay=0.1, decay_norm_and_bias=True), "schedule": None},
        lambda values: SGD(values, lr=0.02, momentum=0.9, weight_decay=0.1),
        lambda step: 1.0,
    ),
    (
        {"optimizer": Optimizer(lr=0.02), "schedule": Schedule(0.4, "linear"), "label_smoothing": 0.1},
        lambda values: SGD(values, lr=0.02, momentum=0.9, nesterov=True),
        lambda step: min((step + 0.5) / 6, (STEPS - step - 0.5) / 9),
    ),
    (
        {"optimizer": Optimizer("adam", lr=0.01, weight_decay=0.1, decay_norm_and_bias=True), "schedule": Schedule(0.0)},
        lambda values: Adam(values, lr=0.01, weight_decay=0.1),
        lambda step: (1 + np.cos(np.pi * (step + 0.5) / STEPS)) / 2,
    ),
]


@pytest.mark.parametrize(("fields", "optimizer", "factor"), PARITY)
def test_a_run_is_that_of_a_plain_torch_loop(few, fields, optimizer, factor):
    """In double precision: a ReLU at its kink makes much of single precision's rounding."""
    recipe = replace(PLAIN, epochs=3, **fields)

    class Exact(Trainer):
        def batches(self, images, labels):
            for pixels, targets in super().batches(images, labels):
                yield pixels.double(), targets

    ours = Exact(recipe, 0)
    ours.model.double()
    net = train.new_model(recipe, 0).double().train()
    plain = optimizer(net.parameters())
    schedule = lr_scheduler.LambdaLR(plain, factor)
    for _ in range(recipe.epochs):
        for pixels, targets in ours.batches(few.train.images, few.train.labels):
            plain.zero_grad()
            F.cross_entropy(net(pixels), targets, label_smoothing=recipe.label_smoothing).backward()
            plain.step()
            schedule.step()
        ours.epoch(few.train.images, few.train.labels)
        ours.history.seconds.append(0.0)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(
            ours.model.state_dict()[name], value, atol=1e-6, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
