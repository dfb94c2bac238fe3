"""What a trained net has learned: its kernels, its maps, where it looks, how sure it is, and what it makes of damaged images."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from mnistlib import augment, data, formatting
from mnistlib.data import ImageSet
from mnistlib.report import figure_style
from mnistlib.report.figure_style import FADED, INK, ReportFigure
from mnistlib.report.html import Shown, phrase, sentence, table
from mnistlib.report.image_figures import SIDE, draw_image, write
from mnistlib.report.result import Result
from mnistlib.stats import intervals
from mnistlib.stats.misclassified import GROUPS, LABEL_ERRORS, group_names
from mnistlib.train import evaluate

PATCH = 5  # pixels of the square that hides a part of an image
BINS = (0.0, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999, 1.0)  # of confidence, finer where most predictions are
_ACROSS = 9  # images in a row of a sheet


def whose(result: Result) -> Shown:
    """Return whose nets the figures show, with a link to their report."""
    n, first = formatting.counted(len(result.runs), "seed"), result.runs[0].seed
    name = Shown(f'<a href="{result.step}.html">{phrase(result.step).html}</a>', result.step)
    begin, end = "These are the nets of ", f" ({result.title}), {n}; the first three figures show seed {first}."
    return sentence(Shown(f"{begin}{name.html}{phrase(end).html}", f"{begin}{name.text}{end}"))


def kernels(net: nn.Module) -> ReportFigure:
    """Draw the kernels of the first convolution: blue weights are positive, red ones negative, on one scale."""
    weights = next(module for module in net.modules() if isinstance(module, nn.Conv2d)).weight.detach()[:, 0].numpy()
    figure, area = figure_style.sheet(8 + 34 * -(-len(weights) // _ACROSS), scale=4)
    most = float(np.abs(weights).max())
    for place, kernel in enumerate(weights):
        draw_image(area, kernel, 2 + place % _ACROSS * 34, 4 + place // _ACROSS * 34, most, low=-most, colours="RdBu")
    side = formatting.shape(weights.shape[1:])
    figure.alt = (
        f"The {formatting.count(len(weights))} kernels of the first convolution, {side} each, weights from {-most:.2f} to {most:.2f}."
    )
    lines = int(sum((kernel > 0).any() and (kernel < 0).any() for kernel in weights))
    figure.caption = (
        f"{formatting.of(lines, len(weights))} kernels of the first convolution compare places: ink counts for their pattern where they "
        "are blue, against it where they are red. One scale for all."
    )
    return figure


@torch.inference_mode()
def maps(net: nn.Sequential, image: Tensor) -> ReportFigure:
    """Draw one image, uint8 [28, 28], and the maps that each layer of a net makes of it, each layer on its own scale."""
    rows, values = [("image", image[None].numpy())], _pixels(image[None])
    for number, part in enumerate(net.eval(), 1):
        values = part(values)
        if values.ndim == 4:
            rows.append((f"layer {formatting.count(number)}: {formatting.shape(values.shape[1:])}", values[0].numpy()))
    lines = [-(-len(part) // _ACROSS) for _, part in rows]
    figure, area = figure_style.sheet(sum(8 + 32 * n for n in lines), scale=4)
    top = 0
    for (name, part), n in zip(rows, lines, strict=True):
        write(area, 2, top + 5, name, FADED)
        for place, each in enumerate(part):
            draw_image(area, each, 2 + place % _ACROSS * 34, top + 9 + place // _ACROSS * 32, max(float(part.max()), 1e-9))
        top += 8 + 32 * n
    figure.alt = f"An image and the maps that the net makes of it. {', '.join(name.capitalize() for name, _ in rows[1:])}."
    dark = [float((part.reshape(len(part), -1).max(1) > 0).mean()) for _, part in rows[1:]]
    figure.caption = (
        f"One image excites {formatting.percent(dark[0], 0)} of the first layer's maps, {formatting.percent(dark[-1], 0)} of the last's. "
        "Below it, every map that each layer makes of it; the darker, the higher the value."
    )
    return figure


def occlusion(net: nn.Module, images: Tensor, labels: Sequence[int]) -> ReportFigure:
    """Draw images, uint8 [n, 28, 28], and below each how much less probable its prediction becomes where a square hides the image.

    Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901.
    """
    figure, area = figure_style.sheet(2 + 74 * -(-len(images) // _ACROSS), scale=4)
    words, most = [], []
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        sure, digit, lost = occluded(net, image)
        left, top = 2 + place % _ACROSS * 34, 2 + place // _ACROSS * 74
        draw_image(area, image, left, top)
        draw_image(area, lost.clamp(0), left, top + 32, 1.0, colours="Oranges")
        words.append(f"{formatting.confusion(int(label), digit)} with {formatting.percent(sure, 0)}")
        most.append(float(lost.max()))
        write(area, left, top + 66, f"{int(label)} → {digit}", INK)
    rests = formatting.of(sum(each > 0.5 for each in most), len(most))
    figure.caption = (
        f"{rests} predictions rest on one place: a square that hides it takes more than half of the probability away. Below each image, "
        "how much less probable its prediction becomes where the square is; label → prediction."
    )
    figure.alt = f"Images and the places on which their prediction rests: {'; '.join(words)}."
    return figure


@torch.inference_mode()
def occluded(net: nn.Module, image: Tensor) -> tuple[float, int, Tensor]:
    """Return a prediction's probability and digit, and how much of the probability is lost for each centre of a hidden square, [28, 28]."""
    sure, digit = net.eval()(_pixels(image[None])).softmax(1)[0].max(0)
    hidden = F.pad(image.repeat(SIDE * SIDE, 1, 1), [PATCH // 2] * 4)
    for k in range(SIDE * SIDE):
        hidden[k, k // SIDE : k // SIDE + PATCH, k % SIDE : k % SIDE + PATCH] = 0
    inner = slice(PATCH // 2, PATCH // 2 + SIDE)
    left = net(_pixels(hidden[:, inner, inner])).softmax(1)[:, digit]
    return float(sure), int(digit), (sure - left).view(SIDE, SIDE)


def _pixels(images: Tensor) -> Tensor:
    return data.normalise(images.unsqueeze(1).float())


def reliability(wrong: np.ndarray, confidences: np.ndarray) -> Shown:
    """Return how often predictions of a given confidence are right; both [n_seeds, n_images]."""
    rows = []
    for low, high in zip(BINS[:-1], BINS[1:], strict=True):
        among = (confidences > low) & (confidences <= high)
        if n := int(among.sum()):
            means = (confidences[among].mean(), 1 - wrong[among].mean())
            rows.append(
                [
                    formatting.interval((low, high), 1),
                    formatting.mean_count(n / len(wrong)),
                    *(formatting.percent(float(value)) for value in means),
                ]
            )
    head = ["Confidence", "Images per seed", "Mean confidence", "Accuracy"]
    return table("How sure the net is, and how often it is right", head, rows)


def by_group(wrong: np.ndarray, images: ImageSet) -> Shown:
    """Return the accuracy on each group of writers with its interval for other seeds and other writers."""
    names, rows = group_names(images.groups), []
    for name in sorted({*names}, key=GROUPS.index):
        among = names == name
        made = intervals.accuracy(wrong[:, among], images.writers[among], images.groups[among])
        writers = formatting.count(len(np.unique(images.writers[among])))
        rows.append([name, writers, formatting.count(int(among.sum())), formatting.percent(made.value), formatting.interval(made.interval)])
    head = ["Writers", "Number", "Images", "Accuracy", "95% interval"]
    return table("Accuracy by group of writers, for other seeds and other writers", head, rows)


def agreement(predictions: np.ndarray, wrong: np.ndarray) -> Shown:
    """Return how many images how many seeds get wrong, and on how many images two seeds differ."""
    votes, n_seeds = wrong.sum(0), len(wrong)
    differ = [float((a != b).sum()) for k, a in enumerate(predictions) for b in predictions[:k]]
    groups = {
        "no seed": votes == 0,
        "one seed": votes == 1,
        "several seeds, at most half": (votes > 1) & (2 * votes <= n_seeds),
        "more than half, not all": (2 * votes > n_seeds) & (votes < n_seeds),
        "all seeds": votes == n_seeds,
    }
    rows = [[name, formatting.count(int(among.sum())), formatting.count(int(votes[among].sum()))] for name, among in groups.items()]
    two = f"two seeds differ on {formatting.mean_count(float(np.mean(differ)))} images on average" if differ else "a single seed"
    return table(
        f"Images by how many of {formatting.counted(n_seeds, 'seed')} misclassify them; {two}",
        ["Misclassified by", "Images", "Mistakes"],
        rows,
    )


def disputed(predictions: np.ndarray, labels: np.ndarray) -> Shown:
    """Return what the seeds make of the test images whose label people dispute."""
    rows = []
    for index, kind in sorted(LABEL_ERRORS.items()):
        digits, counts = np.unique(predictions[:, index], return_counts=True)
        said = ", ".join(f"{digit} ({formatting.count(int(n))})" for n, digit in sorted(zip(counts, digits, strict=True), reverse=True))
        rows.append([str(index), str(labels[index]), {"majority": "another digit", "split": "split", "neither": "neither"}[kind], said])
    return table("Test images whose label people dispute", ["Image", "Label", "What people saw", "What the seeds predict (seeds)"], rows)


def corruptions(chosen: augment.Augment) -> dict[tuple[str, str, str], Callable[[Tensor], Tensor]]:
    """Return ways to damage float images [n, 1, 28, 28] from 0 to 255: by kind, by strength, and whether training warps are alike."""

    def warped(**values: float) -> Callable[[Tensor], Tensor]:
        def warp(images: Tensor) -> Tensor:
            n, none = len(images), {"angle": 0.0, "scale": 1.0, "aspect": 1.0, "shear": 0.0}
            amounts = {name: torch.full((n,), values.get(name, value)) for name, value in none.items()}
            moved = torch.tensor([values.get("shift", 0.0), 0.0]).expand(n, 2)
            return augment.warp(images, augment.to_grid(augment.AffineParams(**amounts, translate=moved, elastic=None), SIDE))

        return warp

    def noise(sd: float) -> Callable[[Tensor], Tensor]:
        return lambda images: (images + 255 * sd * torch.randn(images.shape, generator=Generator().manual_seed(0))).clamp(0, 255)

    kinds: dict[tuple[str, str, str], Callable[[Tensor], Tensor]] = {("none", "as it is", ""): lambda images: images}
    kinds |= {("shift", f"{pixels} px", _known(pixels, chosen.translate)): warped(shift=pixels) for pixels in (1.0, 2.0, 4.0)}
    kinds |= {("rotation", f"{degrees}°", _known(degrees, chosen.degrees)): warped(angle=degrees) for degrees in (10.0, 20.0, 40.0)}
    kinds |= {("noise", f"sd {formatting.percent(sd, 0)} of white", "no"): noise(sd) for sd in (0.1, 0.2, 0.4)}
    kinds |= {("blur", f"sd {sd} px", "no"): (lambda images, sd=sd: gaussian_blur(images, [9, 9], [sd, sd])) for sd in (0.7, 1.0, 1.5)}
    kinds |= {("contrast", formatting.percent(left, 0), "no"): (lambda images, left=left: images * left) for left in (0.7, 0.4, 0.2)}
    return kinds


def _known(strength: float, trained: float) -> str:
    return "yes" if strength <= trained else "in kind, weaker" if trained else "no"


def damaged(nets: Sequence[nn.Module], images: ImageSet, chosen: augment.Augment | None) -> tuple[ReportFigure, Shown]:
    """Return two images after each corruption, and the accuracy of nets on all images after it."""
    rows, sheets, losses, before, chosen = [], {}, {}, 0.0, chosen or augment.Augment()
    for (kind, strength, known), damage in corruptions(chosen).items():
        pixels = damage(images.images.unsqueeze(1).float()).round().to(torch.uint8).squeeze(1)
        part = ImageSet(**{**vars(images), "images": pixels})
        accuracy = float(np.mean([(evaluate(net, part)[1] == images.labels.numpy()).mean() for net in nets]))
        before = before or accuracy
        losses[f"{kind.capitalize()} ({strength})"] = before - accuracy
        lost = formatting.change(formatting.IMAGES, accuracy - before).removesuffix(" images")
        rows.append([kind, strength, known, formatting.percent(accuracy), lost])
        sheets.setdefault(kind, []).append(pixels[:2])
    figure, area = figure_style.sheet(10 + 32 * len(sheets), scale=4)
    for line, (kind, shown) in enumerate(sheets.items()):
        write(area, 2, 22 + 32 * line, kind, INK)
        for place, image in enumerate(torch.stack(shown, 1).flatten(0, 1)):  # one image in all strengths, then the other
            draw_image(area, image, 60 + 34 * place + 16 * (place >= len(shown)), 6 + 32 * line)
    figure.alt = f"Two images, and the same after each of {formatting.count(len(rows) - 1)} corruptions: {', '.join(list(sheets)[1:])}."
    worst = max(losses, key=losses.get)
    figure.caption = (
        f"{worst} costs most, {formatting.count(round(10_000 * losses[worst]))} images of 10,000. Two test images as they are, and after "
        "each corruption in all its strengths."
    )
    caption = f"Accuracy on corrupted images, mean of {formatting.counted(len(nets), 'seed')}"
    return figure, table(caption, ["Corruption", "Strength", "In training", "Accuracy", "Images of 10,000"], rows)
