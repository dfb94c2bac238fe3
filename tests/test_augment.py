"""Warps of a batch: the identity changes nothing, one warp equals torchvision's, every image draws its own."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from mnistlib import augment
from mnistlib.augment import Augment


def one(**given) -> augment.AffineParams:
    """Return the parameters of one image: nothing but what is given."""
    still = {"angle": 0.0, "scale": 1.0, "aspect": 1.0, "shear": 0.0, "translate": [0.0, 0.0]} | given
    return augment.AffineParams(**{name: torch.tensor([value]) for name, value in still.items()}, elastic=None)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(16, 1, 28, 28)
    images[:, :, 6:22, 6:22] = torch.rand(16, 1, 16, 16, generator=generator)
    return images


def random_affine(images, chosen, seed):
    return augment.warp(images, augment.to_grid(augment.draw(len(images), chosen, torch.Generator().manual_seed(seed)), 28))


def test_the_identity_is_the_identity(digits):
    same = random_affine(digits, Augment(), 1)
    torch.testing.assert_close(same, digits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "given",
    [
        {"angle": 30.0},
        {"scale": 1.2},
        {"shear": 15.0},
        {"translate": [2.0, -1.0]},
        {"angle": -12.0, "scale": 0.9, "shear": 8.0, "translate": [-1.0, 3.0]},
    ],
)
def test_one_warp_equals_torchvisions(digits, given):
    drawn = {"angle": 0.0, "scale": 1.0, "shear": 0.0, "translate": [0.0, 0.0]} | given
    expected = reference.affine(
        digits[:1], drawn["angle"], drawn["translate"], drawn["scale"], [drawn["shear"], 0.0], InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(augment.warp(digits[:1], augment.to_grid(one(**given), 28)), expected, atol=1e-4, rtol=0)


def test_an_aspect_widens_as_it_flattens():
    image = torch.zeros(1, 1, 28, 28)
    image[:, :, 10:18, 10:18] = 1
    warped = augment.warp(image, augment.to_grid(one(aspect=1.5), 28))
    width, height = (warped.sum((0, 1)).sum(axis).gt(0.5).sum().item() for axis in (0, 1))
    assert width > 8 > height


def test_an_elastic_warp_moves_ink_and_one_of_zero_moves_none(digits):
    generator = torch.Generator().manual_seed(2)
    drawn = augment.draw(16, Augment(elastic=1.5), generator)
    assert drawn.elastic.shape == (16, 2, 5, 5)
    assert drawn.elastic.std() == pytest.approx(1.5, rel=0.1)
    assert not torch.allclose(augment.warp(digits, augment.to_grid(drawn, 28)), digits, atol=0.05)
    still = augment.AffineParams(drawn.angle, drawn.scale, drawn.aspect, drawn.shear, drawn.translate, torch.zeros_like(drawn.elastic))
    torch.testing.assert_close(augment.warp(digits, augment.to_grid(still, 28)), digits, atol=1e-5, rtol=0)


def test_every_image_draws_its_own_within_the_bounds():
    wide = Augment(degrees=7, scale=0.1, aspect=0.2, shear=5, translate=2)
    drawn = augment.draw(4000, wide, torch.Generator().manual_seed(3))
    for values, middle, reach in (
        (drawn.angle, 0, 7),
        (drawn.scale, 1, 0.1),
        (drawn.aspect, 1, 0.2),
        (drawn.shear, 0, 5),
        (drawn.translate, 0, 2),
    ):
        assert (values - middle).abs().max() <= reach
        assert (values - middle).abs().max() > 0.99 * reach
        assert values.unique().numel() > 3990


def test_a_batch_is_warped_as_torchs_own_grid_would(digits):
    """The quick way to the coordinates against the plain one, `affine_grid`."""
    warps = augment.to_grid(augment.draw(16, Augment(degrees=20, scale=0.2, shear=10, translate=3), torch.Generator().manual_seed(5)), 28)
    grid = torch.nn.functional.affine_grid(warps.matrices, [16, 1, 28, 28], align_corners=False)
    plain = torch.nn.functional.grid_sample(digits, grid, align_corners=False)
    torch.testing.assert_close(augment.warp(digits, warps), plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(augment.warp(digits[4:9], warps[4:9]), plain[4:9], atol=1e-5, rtol=0)


def test_the_same_generator_state_draws_the_same_warps(digits):
    warps = [random_affine(digits, Augment(degrees=20, elastic=1), 4) for _ in range(2)]
    assert torch.equal(*warps)
