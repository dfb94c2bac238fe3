"""Random transforms for all images at once: torchvision's with Pillow, pixel for pixel, and drawn as torchvision draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torch import Generator, Tensor
from torchvision import transforms as tv
from torchvision.transforms import functional as F

from mnistlib import data
from mnistlib.errors import SettingError
from mnistlib.published import repository, transforms
from mnistlib.published.transforms import RandomAffine, RandomCenterCrop, RandomResizedCrop, RandomRotation

N_DRAWN = 4_000


@pytest.fixture(scope="module")
def images(mnist: data.Mnist) -> Tensor:
    """Return thirty of MNIST's images."""
    return mnist.train.images[:30]


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def by_torchvision(transform: object, image: Image.Image, drawn: dict[str, float]) -> Image.Image:
    """Return what torchvision makes of one image with these parameters."""
    if isinstance(transform, RandomRotation):
        return F.rotate(image, drawn["angle"], fill=transform.fill)
    if isinstance(transform, RandomAffine):
        shift = [int(drawn["right"]), int(drawn["down"])]
        return F.affine(image, drawn["angle"], shift, drawn["scale"], [drawn["shear"], 0.0], fill=transform.fill)
    if isinstance(transform, RandomResizedCrop):
        return F.resized_crop(image, *(int(drawn[name]) for name in ("top", "left", "height", "width")), [28, 28])
    return F.resize(tv.CenterCrop(transform.size)(image), [28, 28]) if drawn["cropped"] else image


def one_by_one(images: Tensor, chain: tuple, seed: int) -> Tensor:
    """Return what torchvision makes of all images with the parameters that `random_transforms` draws from this seed."""
    random = generator(seed)
    draws = [transform.draw(len(images), 28, random) for transform in chain]
    made = []
    for place, image in enumerate(images):
        now = Image.fromarray(image.numpy())
        for transform, drawn in zip(chain, draws, strict=True):
            now = by_torchvision(transform, now, {name: values[place].item() for name, values in drawn.items()})
        made.append(torch.from_numpy(np.array(now)))
    return torch.stack(made)


SETTINGS = [
    *(RandomRotation(7), RandomRotation(7, fill=1), RandomRotation(15, fill=1), RandomRotation(180, fill=200)),
    *(
        RandomAffine(degrees=10, shear=10),
        RandomAffine(translate=(0.05, 0.05), scale=(0.98, 1.02), shear=2, fill=1),
        RandomAffine(translate=(0.2, 0.2), fill=1),
    ),
    *(RandomAffine(shear=20), RandomAffine(degrees=30, translate=(0.1, 0.1), scale=(0.5, 1.5), shear=30, fill=9)),
    *(
        RandomResizedCrop((0.9, 1.0)),
        RandomResizedCrop((0.08, 1.0)),
        RandomResizedCrop((0.01, 0.05)),
        RandomResizedCrop((1.0, 1.0), (1.0, 1.0)),
    ),
    *(RandomCenterCrop(22, 0.0), RandomCenterCrop(22, 0.5), RandomCenterCrop(22, 1.0), RandomCenterCrop(23, 1.0)),
]


@pytest.mark.parametrize("transform", SETTINGS, ids=str)
def test_every_pixel_is_that_of_torchvision(images, transform):
    ours = transforms.random_transforms(images, (transform,), generator(1))
    assert ours.dtype == torch.uint8 and torch.equal(ours, one_by_one(images, (transform,), 1))
    idle = transform in (RandomCenterCrop(22, 0.0), RandomResizedCrop((1.0, 1.0), (1.0, 1.0)))
    assert torch.equal(ours, images) == idle


@pytest.mark.parametrize("name", ["000-model-4", "001-gap", "003-model-3", "004-part-3"])
def test_a_published_chain_is_that_of_torchvision_in_its_order(images, name):
    chain = repository.get(name).recipe.transforms
    ours = transforms.random_transforms(images, chain, generator(2))
    assert torch.equal(ours, one_by_one(images, chain, 2))
    if name == "000-model-4":
        assert [type(transform) for transform in chain] == [RandomAffine, RandomRotation, RandomResizedCrop]
    assert len(chain) == 1 or not torch.equal(ours, transforms.random_transforms(images, chain[::-1], generator(2)))


def test_images_draw_their_own_parameters_and_a_seed_repeats_them(images):
    same, chain = images[:1].repeat(50, 1, 1), (RandomAffine(degrees=10, translate=(0.1, 0.1), shear=10),)
    made = transforms.random_transforms(same, chain, generator(3))
    assert len({image.numpy().tobytes() for image in made}) > 45
    assert torch.equal(made, transforms.random_transforms(same, chain, generator(3)))
    assert not torch.equal(made, transforms.random_transforms(same, chain, generator(4)))


def test_how_many_are_worked_on_at_once_changes_nothing(images, monkeypatch):
    chain = (*repository.get("000-model-4").recipe.transforms, RandomCenterCrop(22, 0.5))
    whole = transforms.random_transforms(images, chain, generator(5))
    monkeypatch.setattr(transforms, "CHUNK", 7)
    assert torch.equal(transforms.random_transforms(images, chain, generator(5)), whole)


def torchvisions(draw) -> np.ndarray:
    """Return many draws of torchvision's, one row each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return np.array([draw() for _ in range(N_DRAWN)], float)


def assert_alike(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Check that two samples come from one distribution: as far apart as these, fewer than one pair in a thousand would be."""
    assert ks_2samp(ours, theirs, method="asymp").pvalue > 0.001
    assert ours.mean() == pytest.approx(theirs.mean(), abs=5 * np.sqrt((ours.var() + theirs.var()) / N_DRAWN) + 1e-12)


def test_angles_are_drawn_as_torchvisions():
    angles = RandomRotation(7).draw(N_DRAWN, 28, generator())["angle"].numpy()
    assert_alike(angles, torchvisions(lambda: tv.RandomRotation.get_params([-7.0, 7.0])))
    assert np.abs(angles).max() <= 7 and np.ptp(angles) > 13.9


def test_affine_parameters_are_drawn_as_torchvisions():
    drawn = RandomAffine(10, (0.1, 0.1), (0.8, 1.3), 20).draw(N_DRAWN, 28, generator())

    def draw() -> tuple[float, ...]:
        angle, shift, scale, shear = tv.RandomAffine.get_params([-10.0, 10.0], [0.1, 0.1], [0.8, 1.3], [-20.0, 20.0], [28, 28])
        return angle, *shift, scale, *shear

    theirs = torchvisions(draw)
    assert not theirs[:, 5].any()  # torchvision shears along the width alone where one number is given
    for place, name in enumerate(("angle", "right", "down", "scale", "shear")):
        assert_alike(drawn[name].numpy(), theirs[:, place])
    assert drawn["scale"].min() >= 0.8 and drawn["scale"].max() <= 1.3 and drawn["shear"].abs().max() <= 20
    assert set(drawn["right"].tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize("scale", [(0.9, 1.0), (0.08, 1.0), (0.01, 0.02)])
def test_boxes_are_drawn_as_torchvisions(scale):
    drawn, image = RandomResizedCrop(scale).draw(N_DRAWN, 28, generator()), Image.new("L", (28, 28))
    theirs = torchvisions(lambda: tv.RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]))
    for place, name in enumerate(("top", "left", "height", "width")):
        assert_alike(drawn[name].numpy(), theirs[:, place])
    assert_alike((drawn["height"] * drawn["width"]).numpy(), theirs[:, 2] * theirs[:, 3])
    assert_alike(drawn["width"].numpy() / drawn["height"].numpy(), theirs[:, 3] / theirs[:, 2])
    assert (drawn["top"] + drawn["height"]).max() <= 28 and (drawn["left"] + drawn["width"]).max() <= 28 and min(drawn["top"]) >= 0


def test_a_crop_is_as_frequent_as_asked_for():
    share = RandomCenterCrop(22, 0.1).draw(N_DRAWN, 28, generator())["cropped"].double().mean().item()
    assert share == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / N_DRAWN) ** 0.5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (RandomRotation, {"degrees": -1}),
        (RandomRotation, {"fill": 256}),
        (RandomAffine, {"translate": (1.5, 0)}),
        (RandomAffine, {"scale": (1.1, 0.9)}),
        (RandomAffine, {"scale": 0.9}),
        (RandomAffine, {"shear": 90}),
        (RandomResizedCrop, {"scale": (0.9, 1.1)}),
        (RandomResizedCrop, {"ratio": (2.0, 3.0)}),
        (RandomCenterCrop, {"size": 29}),
        (RandomCenterCrop, {"p": float("nan")}),
    ],
)
def test_a_field_out_of_range_is_refused_by_name(kind, values):
    with pytest.raises(SettingError, match=kind.__name__):
        kind(**values)
