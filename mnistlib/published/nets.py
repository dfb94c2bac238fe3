"""The sixteen published nets, layer by layer as their authors wrote them, waste and all; `published` has recipes and claims.

`order` is the literal order inside a block. Where the last layers bend the logits, or weights only ever meet padding, that stays so:
`anatomy` says it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from mnistlib.models.parts import GlobalAverage, block
from mnistlib.published.dropout import Dropout


def bare(n_in: int, n_out: int, kernel: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a convolution with nothing after it."""
    return nn.Conv2d(n_in, n_out, kernel, bias=bias)


def sparse(p: float) -> list[nn.Module]:
    """Return dropout of single values as a list to unpack into a net; nothing at probability zero."""
    return [Dropout(p)] if p else []


def ec2_1(dropout: float = 0.05) -> nn.Sequential:
    """Return Model 1 of session7mnist_ec2."""
    part = partial(block, order="norm drop relu", dropout=dropout)
    return nn.Sequential(
        *(part(1, 16), part(16, 32), bare(32, 10), nn.MaxPool2d(2)),
        *(part(10, 16), part(16, 16), part(16, 16), part(16, 16, padding=1)),
        *(nn.AvgPool2d(6), bare(16, 10), nn.Flatten()),
    )


def ec2_2(dropout: float = 0.01) -> nn.Sequential:
    """Return Model 2 of session7mnist_ec2, whose last convolution is depthwise."""
    part = partial(block, order="norm drop relu", dropout=dropout)
    return nn.Sequential(
        *(part(1, 8), part(8, 12), part(12, 10, 1), nn.MaxPool2d(2)),
        *(part(10, 12), part(12, 12), part(12, 16), part(16, 16, padding=1, groups=16)),
        *(nn.AvgPool2d(6), bare(16, 10), nn.Flatten()),
    )


def ec2_3(dropout: float = 0.01) -> nn.Sequential:
    """Return Model 3 of session7mnist_ec2, whose average leaves out the last row and column of its map."""
    part = partial(block, order="norm drop relu", dropout=dropout)
    return nn.Sequential(
        *(part(1, 8, padding=1), part(8, 16, padding=1, groups=8), part(16, 32), nn.MaxPool2d(2)),
        *(part(32, 32, padding=1, groups=16), part(32, 64, 1)),
        *(nn.AvgPool2d(12), bare(64, 10), nn.Flatten()),
    )


def ec2_4(dropout: float = 0.01, order: str = "relu norm drop") -> nn.Sequential:
    """Return Model 4 of session7mnist_ec2."""
    part = partial(block, order=order, dropout=dropout)
    return nn.Sequential(
        *(part(1, 8), part(8, 12), bare(12, 10), nn.MaxPool2d(2)),
        *(part(10, 12), part(12, 12), part(12, 16), part(16, 16, padding=1)),
        *(nn.AvgPool2d(6), bare(16, 10), nn.Flatten()),
    )


def under_8k(order: str, dropout: float) -> nn.Sequential:
    """Return the net that three of mnist_under_8k's four share, with `order` after each convolution."""
    part = partial(block, order=order, dropout=dropout, bias=True)
    return nn.Sequential(
        *(part(1, 8, padding=1), part(8, 8, padding=1), nn.MaxPool2d(2)),
        *(part(8, 16, padding=1), part(16, 16, padding=1), nn.MaxPool2d(2)),
        *(part(16, 16, padding=1), part(16, 16, 1), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(144, 10)),
    )


def relu(dropout: float = 0.0) -> nn.Sequential:
    """Return mnist_under_8k's net of convolutions and ReLU alone."""
    return under_8k("relu", dropout)


def batchnorm(dropout: float = 0.0) -> nn.Sequential:
    """Return the same with batch normalization after each ReLU."""
    return under_8k("relu norm", dropout)


def dropout(dropout: float = 0.05) -> nn.Sequential:
    """Return the same with dropout after each normalization, as in the committed code; the text beside it shows another layout."""
    return under_8k("relu norm drop", dropout)


def gap(dropout: float = 0.1, last: str = "relu norm") -> nn.Sequential:
    """Return mnist_under_8k's net with global average pooling in place of the linear layer; `last` is what its logits pass through."""
    part = partial(block, order="relu norm", bias=True)
    return nn.Sequential(
        *(part(1, 8, padding=1), part(8, 8, padding=1), nn.MaxPool2d(2), *sparse(dropout)),
        *(part(8, 16, padding=1), part(16, 16, padding=1), nn.MaxPool2d(2), *sparse(dropout)),
        *(part(16, 16, padding=1), part(16, 10, 1, order=last), nn.MaxPool2d(2), *(sparse(dropout) if last else ())),
        GlobalAverage(),
    )


def assignment_1(dropout: float = 0.0) -> nn.Sequential:
    """Return Model_1 of assignment-7."""
    part = partial(block, order="relu", padding=1, bias=True)
    return nn.Sequential(
        *(part(1, 8), nn.MaxPool2d(2), part(8, 16), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)),
    )


def assignment_2(dropout: float = 0.2) -> nn.Sequential:
    """Return Model_2 of assignment-7."""
    part = partial(block, order="relu", padding=1, bias=True)
    return nn.Sequential(
        *(part(1, 6), nn.MaxPool2d(2), part(6, 12), nn.MaxPool2d(2), *sparse(dropout), nn.Flatten()),
        *(nn.Linear(588, 24), nn.ReLU(), nn.Linear(24, 10)),
    )


def assignment_3(dropout: float = 0.15) -> nn.Sequential:
    """Return Model_3 of assignment-7: four poolings leave a map of one pixel, where all but the middle of a kernel meets padding."""
    part = partial(block, order="norm relu pool drop", padding=1, bias=True, dropout=dropout)
    return nn.Sequential(
        *(part(1, 4), part(4, 8), part(8, 12), part(12, 16)),
        *(block(16, 10, order="norm relu", padding=1, bias=True), GlobalAverage()),
    )


def aws(width: int, dropout: float, last: str) -> nn.Sequential:
    """Return a net of mnist-cnn-aws with `width` feature maps after pooling; `last` is what its logits pass through."""
    part = partial(block, order="relu norm drop", dropout=dropout)
    return nn.Sequential(
        *(part(1, 8), part(8, 8), bare(8, 8), nn.MaxPool2d(2)),
        *(part(8, width), part(width, width), part(width, width, padding=1), part(width, width, padding=1)),
        *(nn.AvgPool2d(8), block(width, 10, 1, last), nn.Flatten()),
    )


def aws_1(dropout: float = 0.05) -> nn.Sequential:
    """Return Model 1 of mnist-cnn-aws."""
    return aws(12, dropout, "norm relu")


def aws_2(dropout: float = 0.05, last: str = "norm relu") -> nn.Sequential:
    """Return Model 2 of mnist-cnn-aws, which is its Model 3 too."""
    return aws(14, dropout, last)


def parts_1(dropout: float = 0.0) -> nn.Sequential:
    """Return Part 1 of MNIST-CNN: more than half of its weights in the last layer."""
    part = partial(block, order="relu")
    return nn.Sequential(
        *(part(1, 8), part(8, 8), part(8, 16), nn.MaxPool2d(2)),
        *(part(16, 8, 1), part(8, 8), part(8, 16), part(16, 10, 1), bare(10, 10, 7), nn.Flatten()),
    )


def parts_2(dropout: float = 0.01, last: str = "norm relu") -> nn.Sequential:
    """Return Part 2 of MNIST-CNN; `last` is what its logits pass through before they are averaged."""
    drop = partial(sparse, dropout)
    return nn.Sequential(
        *(block(1, 8), *drop(), block(8, 8), *drop(), block(8, 16), nn.MaxPool2d(2), *drop()),
        *(block(16, 8, 1), *drop(), block(8, 8), *drop(), block(8, 16), *drop(), block(16, 10, 1, last)),
        GlobalAverage(),
    )


def parts_3(dropout: float = 0.05) -> nn.Sequential:
    """Return Part 3 of MNIST-CNN: depthwise-separable and dilated convolutions by turns."""

    def separable(n_in: int, n_out: int, kernel: int = 3) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_in, kernel, padding=kernel // 2, groups=n_in, bias=False), block(n_in, n_out, 1)]

    def dilated(n: int, dilation: int = 2) -> nn.Sequential:
        return block(n, n, padding=1, dilation=dilation)

    return nn.Sequential(
        *(*separable(1, 10), dilated(10), *separable(10, 10), dilated(10), *sparse(dropout)),
        *(*separable(10, 10), dilated(10), *separable(10, 13), nn.MaxPool2d(2)),
        *(*separable(13, 10, 1), dilated(10), *separable(10, 10), dilated(10), *sparse(dropout)),
        *(*separable(10, 13), dilated(13, 3), nn.Conv2d(13, 13, 3, groups=13, bias=False), block(13, 13, 1)),
        *(nn.Conv2d(13, 13, 1, groups=13, bias=False), bare(13, 10), GlobalAverage()),
    )


NETS: dict[str, Callable[[float], nn.Sequential]] = {
    **{"000-model-1": ec2_1, "000-model-2": ec2_2, "000-model-3": ec2_3, "000-model-4": ec2_4},
    **{"001-relu": relu, "001-batchnorm": batchnorm, "001-dropout": dropout, "001-gap": gap},
    **{"002-model-1": assignment_1, "002-model-2": assignment_2, "002-model-3": assignment_3},
    **{"003-model-1": aws_1, "003-model-2": aws_2},
    **{"004-part-1": parts_1, "004-part-2": parts_2, "004-part-3": parts_3},
}
# The same with one thing changed, for the studies.
VARIANTS: dict[str, Callable[[float], nn.Sequential]] = {
    "000-model-4-norm-first": partial(ec2_4, order="norm relu drop"),
    "000-model-4-group-norm": partial(ec2_4, order="relu group drop"),
    "001-gap-plain-logits": partial(gap, last=""),
    "003-model-2-plain-logits": partial(aws_2, last=""),
    "003-model-2-relu-logits": partial(aws_2, last="relu"),
    "003-model-2-norm-logits": partial(aws_2, last="norm"),
    "004-part-2-plain-logits": partial(parts_2, last=""),
}
