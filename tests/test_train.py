"""One seed: sample-weighted averages, a new order each epoch, exact repetition, also after an interruption."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mnistlib import augment, data, descent, train
from mnistlib.errors import TrainingError
from mnistlib.models import parts
from mnistlib.recipe import Augment, Optimizer, Recipe
from mnistlib.runs.storage import State

TINY = Recipe("early", epochs=2, batch_size=64, augment=Augment(rotate=5), dropout=0.1, averaging=0.9)


@pytest.fixture(scope="module")
def few() -> data.Mnist:
    """Return a few of scikit-learn's digits: what is tested here does not depend on the data."""
    return data.load("digits", limit=300)


def same(a, b) -> bool:
    """Say whether two trials are bit-equal, times apart."""
    histories = [{name: values for name, values in vars(trial.history).items() if name != "seconds"} for trial in (a, b)]
    weights = all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    return histories[0] == histories[1] and weights and np.array_equal(a.predictions, b.predictions)


def test_one_seed_repeats_exactly_and_another_differs(few):
    first, again, other = (train.train(TINY, few, seed) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_whatever_was_drawn_before_changes_nothing(few):
    first = train.train(TINY, few, 0)
    torch.rand(7), np.random.default_rng().random()
    assert same(first, train.train(TINY, few, 0))


@pytest.mark.parametrize("change", [{}, {"averaging": 0.0}, {"optimizer": Optimizer(weight_decay=1e-3)}])
def test_a_resumed_run_ends_bit_equal_to_an_undisturbed_one(few, change):
    recipe = replace(TINY, epochs=3, **change)
    kept: list[State] = []

    def keep(now: State) -> None:
        kept.append(State(*({n: t.clone() for n, t in group.items()} for group in (now.weights, now.momentum, now.average)), now.history))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(recipe, few, 0, after_epoch=keep)
    assert len(kept[1].history.seconds) == 2
    assert same(train.train(recipe, few, 0, start=kept[1]), train.train(recipe, few, 0))


def test_two_epochs_differ_in_order_and_each_sees_every_image_once():
    epochs = [train.shuffled(1000, 0, epoch) for epoch in (0, 1)]
    assert not torch.equal(*epochs)
    for seen in epochs:
        assert torch.equal(seen.sort().values, torch.arange(1000))


def test_a_last_batch_of_one_joins_the_one_before():
    assert train.cuts(257, 128) == [(0, 128), (128, 257)]
    assert train.cuts(256, 128) == [(0, 128), (128, 256)] and train.cuts(130, 128) == [(0, 128), (128, 130)]
    assert train.cuts(1, 128) == [(0, 1)]


@pytest.mark.parametrize("warps", [None, Augment(rotate=9, shift=2, elastic=0.5)])
def test_an_epochs_batches_are_what_the_plain_way_makes_of_each_batch(few, warps):
    """The quick way prepares an epoch at once; the plain one takes batch by batch through the library's simplest functions."""
    recipe, (images, labels) = replace(TINY, augment=warps), (few.train.images, few.train.labels)
    drawn = None if warps is None else augment.draw(300, warps, augment.generator(train.stream(7, "augment", 3)))
    quick = list(train.batches(images, labels, recipe, [7], 3))
    assert [len(targets) for _, targets in quick] == [64, 64, 64, 64, 44]
    for place, batch in enumerate(train.shuffled(300, 7, 3).split(64)):
        pixels = images[batch][:, None].float() / 255
        if drawn is not None:
            own = augment.Draw(**{name: value[64 * place : 64 * (place + 1)] for name, value in vars(drawn).items()})
            pixels = augment.warp(pixels, augment.invert(own, 28))
        torch.testing.assert_close(quick[place][0], (pixels - data.MEAN) / data.SD, atol=2e-5, rtol=0)
        assert torch.equal(quick[place][1], labels[batch])


def test_averages_weigh_images_not_batches(few):
    """With a learning rate of next to nothing and no warps, the running loss is the mean over all images, short last batch or not."""
    recipe = Recipe("early", optimizer=Optimizer(lr=1e-6, momentum=0, nesterov=False), batch_size=280, epochs=1)  # batches of 280 and 20
    trial = train.train(recipe, few, 0)
    net = parts.initialise(train.models.build("early"), train.stream(0, "weights")).train()
    batches = train.shuffled(300, 0, 0).split(280)
    with torch.no_grad():
        logits = [net(data.normalise(few.train.images[batch])) for batch in batches]
    losses = [torch.nn.functional.cross_entropy(out, few.train.labels[batch]).item() for out, batch in zip(logits, batches, strict=True)]
    right = sum((out.argmax(1) == few.train.labels[batch]).sum().item() for out, batch in zip(logits, batches, strict=True))
    assert trial.history.train_loss[0] == pytest.approx((280 * losses[0] + 20 * losses[1]) / 300, rel=1e-4)
    assert trial.history.train_loss[0] != pytest.approx(sum(losses) / 2, rel=1e-4)
    assert trial.history.train_accuracy[0] == pytest.approx(right / 300, abs=1 / 300)


def test_the_stated_accuracy_is_that_of_the_final_weights(few):
    trial = train.train(TINY, few, 0)
    net = train.models.build("early", 0.1)
    net.load_state_dict(trial.weights)
    loss, predictions, confidences = train.predict(net, few.test)
    assert np.array_equal(predictions, trial.predictions)
    assert train.share_right(predictions, few.test) == trial.history.test_accuracy[-1]
    assert loss == pytest.approx(trial.history.test_loss[-1], rel=1e-5)
    assert ((confidences > 0.1) & (confidences <= 1)).all()


def test_weight_decay_pulls_kernels_but_not_normalization():
    net = train.models.build("early")
    groups = descent.optimizer_of(net.parameters(), Recipe("early", optimizer=Optimizer(weight_decay=0.5))).param_groups
    assert {p.ndim > 1 for p in groups[0]["params"]} == {True} and groups[0]["weight_decay"] == 0.5
    assert {p.ndim for p in groups[1]["params"]} == {1} and groups[1]["weight_decay"] == 0
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_a_run_that_diverges_says_so(few):
    with pytest.raises(TrainingError, match="Seed 0 diverged in epoch 1.*Lower optimizer.lr, now 100"):
        train.train(Recipe("early", optimizer=Optimizer(lr=100.0, momentum=0.99), epochs=2, batch_size=20), few, 0)


def test_the_average_of_weights_forgets_its_first_steps_soon():
    net, average = torch.nn.Linear(1, 1), {"weight": torch.zeros(1, 1), "bias": torch.zeros(1)}
    torch.nn.init.ones_(net.weight), torch.nn.init.ones_(net.bias)
    for step in range(100):
        train.move_average(average, train.floats(net), 0.998, step)
    assert average["weight"].item() > 0.99
