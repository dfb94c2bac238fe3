"""Pictures of digits brought to MNIST's form: every kind of file, paper, ink and pen, and what is no digit at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor

from mnistlib import data, files, models, predict
from mnistlib.errors import DataError
from mnistlib.report import result as results

WHITE, BLACK, PAPER, BLUE, RED, GREEN, YELLOW = "white", "black", "#cdc8be", "#1e28a0", "#c81e28", "#14783c", "#faf096"


def seven(size: tuple[int, int] = (200, 300), ink: object = BLACK, paper: object = WHITE, mode: str = "RGB", pen: int = 20) -> Image.Image:
    """Return a drawing of a seven in the upper left of its paper."""
    image = Image.new(mode, size, paper)
    side = min(size)
    at = [(0.15, 0.2), (0.65, 0.2), (0.35, 0.85)]
    ImageDraw.Draw(image).line([(x * side, y * side) for x, y in at], fill=ink, width=max(1, pen * side // 200), joint="curve")
    return image


def back(image: Image.Image, kind: str, **options: object) -> Image.Image:
    """Return an image as it comes back from a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return Image.open(file)


def render(
    digit: Tensor,
    seed: int,
    *,
    size: tuple[int, int] = (200, 300),
    ink: str = BLACK,
    paper: str = WHITE,
    share: float = 0.7,
    noise: float = 0.0,
    shade: float = 0.0,
) -> Image.Image:
    """Return a digit of MNIST enlarged, coloured, put somewhere on a paper, with noise (grey levels) and light from one side (share)."""
    rng = np.random.default_rng(seed)
    side = int(min(size) * share)
    x, y = (int(rng.integers(0, whole - side + 1)) for whole in size)
    mask = Image.new("L", size)
    mask.paste(Image.fromarray(digit.numpy()).resize((side, side), Image.Resampling.BICUBIC), (x, y))
    image = Image.new("RGB", size, paper)
    image.paste(Image.new("RGB", size, ink), mask=mask)
    values = np.asarray(image) * (1 - shade * np.linspace(0, 1, size[0]))[None, :, None] + rng.normal(0, noise, (size[1], size[0], 3))
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


CONDITIONS = {
    "inverted": ({}, "PNG", {}),
    "white on black": ({"ink": WHITE, "paper": BLACK, "size": (300, 200)}, "PNG", {}),
    "blue on yellow": ({"ink": BLUE, "paper": YELLOW}, "JPEG", {"quality": 85}),
    "red on green": ({"ink": RED, "paper": GREEN}, "JPEG", {"quality": 85}),  # hardly apart in grey
    "noisy paper": ({"ink": BLUE, "paper": PAPER, "noise": 10}, "JPEG", {"quality": 75}),
    "very noisy paper": ({"paper": PAPER, "noise": 30}, "PNG", {}),
    "shaded": ({"ink": BLUE, "paper": PAPER, "noise": 6, "shade": 0.4, "size": (400, 300)}, "JPEG", {"quality": 85}),
    "pencil": ({"ink": "#969696", "paper": "#e6e6e1", "noise": 4}, "JPEG", {"quality": 85}),
    "poor JPEG": ({}, "JPEG", {"quality": 20}),
    "small in large": ({"size": (1200, 900), "share": 0.1, "noise": 3}, "JPEG", {"quality": 85}),
    "small": ({"size": (40, 50), "share": 0.9}, "PNG", {}),
}


@pytest.fixture(scope="module")
def digits(mnist: data.Mnist) -> Tensor:
    """Return the first test images."""
    return mnist.eval.images[:40]


@pytest.fixture(scope="module", params=CONDITIONS)
def rendered(request: pytest.FixtureRequest, digits: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """Return the digits prepared from files of their renderings under one condition."""
    how, kind, options = CONDITIONS[request.param]
    path = tmp_path_factory.mktemp("rendered") / f"digit.{kind.lower()}"
    prepared = []
    for i, digit in enumerate(digits):
        render(digit, i, **how).save(path, kind, **options)
        prepared.append(predict.prepare(predict.read(path)))
    return torch.stack(prepared)


@pytest.mark.slow
class TestRealDigits:
    """MNIST's own digits, enlarged, coloured, moved, soiled."""

    def test_comes_back_as_itself(self, rendered: Tensor, digits: Tensor) -> None:
        """Nearly every digit prepared is nearer to its own original than to any other."""
        distances = torch.cdist(rendered.flatten(1).float(), digits.flatten(1).float())
        assert (distances.argmin(1) == torch.arange(len(digits))).sum() >= len(digits) - 3  # ones are much alike

    def test_is_classified(self, rendered: Tensor, mnist: data.Mnist) -> None:
        """The committed net of the augmentation step reads the files as well as the digits themselves, or nearly so."""
        folder = files.root() / "reports"
        result = results.read(folder / "results" / "03_augment.json")
        net = results.load_model(result.recipe, load_file(folder / result.runs[0].checkpoint))
        found = predict.classify(net, rendered)
        assert all(0.1 <= probability <= 1 for _, probability in found)
        right = [digit == int(label) for (digit, _), label in zip(found, mnist.eval.labels, strict=False)]
        assert sum(right) >= len(right) - 1

    def test_prepared_again_is_itself(self, digits: Tensor) -> None:
        """An image of MNIST is in MNIST's form already; half a pixel of rounding may move one in a hundred."""
        change = torch.stack([(predict.prepare(Image.fromarray(digit.numpy())).float() - digit.float()).abs().amax() for digit in digits])
        assert (change <= 30).sum() >= len(digits) - 1

    def test_inverted_is_itself(self, digits: Tensor) -> None:
        """Dark on light gives just what light on dark gives."""
        for digit in digits[:20]:
            light = predict.prepare(Image.fromarray(digit.numpy()))
            dark = predict.prepare(Image.fromarray(255 - digit.numpy()))
            assert (light.int() - dark.int()).abs().max() <= 2


class TestForm:
    """What MNIST's images have in common."""

    @pytest.mark.parametrize("size", [(200, 300), (300, 200), (64, 64), (1000, 2500), (3001, 1999), (29, 57)])
    def test_box_and_centre(self, size: tuple[int, int]) -> None:
        """The digit's longer side is twenty pixels, its centre of mass within half a pixel of the middle, its ink white."""
        found = predict.prepare(seven(size))
        assert found.dtype == torch.uint8 and found.shape == (28, 28)
        assert max(side(found, 0), side(found, 1)) == 20
        rows, columns = centre(found)
        assert abs(rows - 14) <= 0.51 and abs(columns - 14) <= 0.51
        assert found.max() >= 250

    def test_keeps_proportions(self) -> None:
        """A digit twice as high as wide stays so."""
        image = Image.new("L", (300, 300), 255)
        ImageDraw.Draw(image).ellipse([50, 60, 130, 220], outline=0, width=16)
        found = predict.prepare(image)
        assert (side(found, 0), side(found, 1)) == (20, 10)

    def test_antialiases(self) -> None:
        """A slanted edge gives greys, not stairs."""
        assert len(predict.prepare(seven()).unique()) > 20

    def test_thin_pen(self) -> None:
        """A line of one pixel in hundreds becomes a stroke a pen could have drawn."""
        broad, thin = (predict.prepare(seven((400, 400), pen=pen)).float().sum() / 255 for pen in (20, 1))
        assert thin > 35  # a stroke of one pixel and a half along the seven's length
        assert broad > thin

    def test_frame_is_never_left(self) -> None:
        """A digit whose mass lies at one end stays in the frame whole."""
        image = Image.new("L", (200, 200), 255)
        pen = ImageDraw.Draw(image)
        pen.rectangle([20, 150, 180, 180], fill=0)
        pen.line([(100, 10), (100, 150)], fill=0, width=4)
        found = predict.prepare(image)
        assert max(side(found, 0), side(found, 1)) == 20

    def test_small_digit_in_a_large_picture(self) -> None:
        """A digit far from the camera is read as sharply as one cut out of the same picture."""
        small = seven((200, 300)).resize((60, 90), Image.Resampling.BOX)
        large = Image.new("RGB", (2400, 1800), WHITE)
        large.paste(small, (1300, 700))
        assert (predict.prepare(large).int() - predict.prepare(small).int()).abs().float().mean() <= 4

    def test_dirt_is_left_out(self) -> None:
        """A crumb far from the digit changes neither its place nor its size."""
        soiled = seven()
        ImageDraw.Draw(soiled).ellipse([180, 280, 184, 284], fill=BLACK)
        assert (predict.prepare(soiled).int() - predict.prepare(seven()).int()).abs().max() <= 3

    def test_separate_strokes_stay(self) -> None:
        """A bar that does not touch the rest of the digit belongs to it."""
        image = seven()
        ImageDraw.Draw(image).line([(20, 110), (70, 110)], fill=BLACK, width=14)
        assert (predict.prepare(image).int() - predict.prepare(seven()).int()).abs().max() > 100


def side(image: Tensor, axis: int) -> int:
    """Return the height (0) or width (1) of what is not black."""
    lit = torch.nonzero(image.any(1 - axis))
    return int(lit.max() - lit.min()) + 1


def centre(image: Tensor) -> tuple[float, float]:
    """Return the row and column of the centre of mass."""
    mass = image.double()
    index = torch.arange(28).double()
    return float((mass.sum(1) * index).sum() / mass.sum()), float((mass.sum(0) * index).sum() / mass.sum())


class TestModes:
    """The same seven from every kind of picture."""

    @pytest.mark.parametrize(
        "image",
        [
            seven(mode="L"),
            seven(mode="L", ink=255, paper=0),
            seven(mode="1", ink=0, paper=1),
            seven().quantize(8),
            seven().convert("CMYK"),
            seven(ink=RED, paper=GREEN),
            seven(ink="#ffe000", paper="#ffffff"),
            seven(mode="LA", ink=(0, 255), paper=(255, 255)),
            seven(mode="RGBA", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0)),
            seven(mode="RGBA", ink=(0, 0, 0, 255), paper=(255, 255, 255, 0)),
            seven(mode="RGBA", ink=(255, 255, 255, 255), paper=(0, 0, 0, 0)),
            seven(mode="RGBA", ink=(255, 255, 255, 255), paper=(255, 255, 255, 0)),
            seven(mode="I;16", ink=65535, paper=0),
            seven(mode="I;16", ink=1000, paper=60000),
            seven(mode="I", ink=0, paper=65535),
            seven(mode="F", ink=0.0, paper=1.0),
        ],
        ids=lambda image: image.mode,
    )
    def test_mode(self, image: Image.Image) -> None:
        """Mode, colour and transparency do not change the seven."""
        assert (predict.prepare(image).int() - predict.prepare(seven()).int()).abs().max() <= 40

    def test_transparent_palette(self) -> None:
        """A palette whose paper is transparent is read as paper, not as the colour under it."""
        image = seven().quantize(2)
        paper = image.getpixel((199, 299))
        assert (predict.prepare(back(image, "PNG", transparency=paper)).int() - predict.prepare(seven()).int()).abs().max() <= 3

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        """A PNG of sixteen bits keeps its greys through a file."""
        seven(mode="I;16", ink=1000, paper=60000).save(tmp_path / "deep.png")
        assert (predict.prepare(predict.read(tmp_path / "deep.png")).int() - predict.prepare(seven()).int()).abs().max() <= 3

    @pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
    def test_turned_by_a_camera(self, orientation: int, tmp_path: Path) -> None:
        """A photograph is turned as its EXIF note says."""
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that the note asks a viewer to undo
        image = seven()
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = image if orientation == 1 else image.transpose(Image.Transpose(undo[orientation]))
        turned.save(tmp_path / "photo.jpg", exif=exif, quality=95)
        assert (predict.prepare(predict.read(tmp_path / "photo.jpg")).int() - predict.prepare(image).int()).abs().max() <= 40


class TestRefusals:
    """What is no digit is refused with a sentence."""

    @pytest.mark.parametrize(
        "image",
        [
            Image.new("RGB", (200, 300), WHITE),
            Image.new("L", (28, 28), 0),
            Image.new("RGBA", (100, 100), (0, 0, 0, 0)),
            Image.new("I;16", (100, 100), 30000),
            Image.new("F", (100, 100), 0.0),
            Image.fromarray(np.random.default_rng(0).normal(200, 12, (300, 200, 3)).clip(0, 255).astype(np.uint8)),
            Image.fromarray(np.linspace(100, 200, 300 * 200).reshape(300, 200).astype(np.uint8)),  # light from above, no ink
        ],
        ids=["white", "black", "transparent", "deep", "float", "noise", "shade"],
    )
    def test_blank(self, image: Image.Image) -> None:
        """A blank picture, a noisy one and a shaded one hold no digit."""
        with pytest.raises(DataError, match="Nothing in the image stands out"):
            predict.prepare(image)

    @pytest.mark.parametrize("size", [(7, 200), (200, 7), (1, 1)])
    def test_tiny(self, size: tuple[int, int]) -> None:
        """An image of a few pixels is too small."""
        with pytest.raises(DataError, match=f"has {size[0]}x{size[1]} pixels; it needs at least 8x8"):
            predict.prepare(Image.new("L", size, 255))

    def test_speck(self) -> None:
        """A dot is no digit."""
        image = Image.new("L", (50, 50), 255)
        ImageDraw.Draw(image).rectangle([20, 20, 23, 24], fill=0)
        with pytest.raises(DataError, match="within 4x5 pixels; a digit needs at least 8"):
            predict.prepare(image)

    def test_files(self, tmp_path: Path) -> None:
        """A missing file, a folder, a text, an empty file and half an image are each told apart from an image."""
        with pytest.raises(DataError, match=r"absent.png' cannot be read as an image: No such file"):
            predict.read(tmp_path / "absent.png")
        with pytest.raises(DataError, match="cannot be read as an image: Is a directory"):
            predict.read(tmp_path)
        for name, content in (("text.png", b"seven"), ("empty.jpg", b"")):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError, match="is no image that can be read here; PNG and JPEG files are"):
                predict.read(tmp_path / name)
        for kind in ("png", "jpg"):
            seven().save(tmp_path / f"whole.{kind}")
            content = (tmp_path / f"whole.{kind}").read_bytes()
            (tmp_path / f"half.{kind}").write_bytes(content[: len(content) // 2])
            with pytest.raises(DataError, match="cannot be read as an image"):
                predict.read(tmp_path / f"half.{kind}")

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_pixels_that_are_no_numbers(self, value: float, tmp_path: Path) -> None:
        """A TIFF may hold NaN or infinity."""
        pixels = np.zeros((40, 40), dtype=np.float32)
        pixels[20, 20] = value
        Image.fromarray(pixels).save(tmp_path / "wild.tiff")
        with pytest.raises(DataError, match="NaN") as caught:
            predict.prepare_file(tmp_path / "wild.tiff")
        assert str(caught.value).count("wild.tiff") == 1

    def test_programs_are_not_run(self, tmp_path: Path) -> None:
        """An EPS file is a program; it is not opened."""
        (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
        with pytest.raises(DataError, match="is no image that can be read here"):
            predict.read(tmp_path / "program.png")


class TestClassify:
    """From prepared images to digits."""

    def test_gives_digit_and_probability(self) -> None:
        """The digit is the largest logit's, the probability its softmax in evaluation mode."""
        net = models.init_weights(models.build("narrow", 0.5), 0).train()
        images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        found = predict.classify(net, images)
        with torch.no_grad():
            expected = net.eval()(data.normalise(images.unsqueeze(1).float())).softmax(1)
        assert [digit for digit, _ in found] == expected.argmax(1).tolist()
        assert [probability for _, probability in found] == pytest.approx(expected.amax(1).tolist())
        assert predict.classify(net, list(images)) == found
