"""The sixteen published nets, layer by layer as their authors wrote them, and the variants that the ablations compare them with.

What an author's last layers do to the logits, and weights that only ever meet padding, stay as they are: the model summary points
them out.
"""

from collections import OrderedDict
from functools import partial

from torch import nn

from mnistlib.models import GlobalAverage
from mnistlib.published.dropout import Dropout


def block(
    n_in: int, n_out: int, kernel: int = 3, order: str = "norm relu", *, dropout: float = 0.0, bias: bool = False, **convolution: int
) -> nn.Sequential:
    """Return a convolution followed by the layers of `order`: "pool" (2x2 max), "norm" (batch), "group" (norm), "relu", "drop"."""
    layers = {
        "pool": lambda: nn.MaxPool2d(2),
        "norm": lambda: nn.BatchNorm2d(n_out),
        "group": lambda: nn.GroupNorm(2, n_out),
        "relu": lambda: nn.ReLU(inplace=True),
        "drop": lambda: Dropout(dropout),
    }
    after = {name: layers[name]() for name in order.split() if name != "drop" or dropout}
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(n_in, n_out, kernel, bias=bias, **convolution), **after))


def pointwise(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a 1x1 convolution with nothing after it."""
    return nn.Conv2d(n_in, n_out, 1, bias=False)


def drop(p: float) -> list[nn.Module]:
    """Return dropout of single values as a list to unpack into a net; nothing at probability zero."""
    return [Dropout(p)] if p else []


def session7(dropout: float, widths: tuple[int, ...], order: str) -> nn.Sequential:
    """The net that Model 1 and Model 4 of session7mnist_ec2 share, with `order` after each convolution."""
    conv, (a, b, c, d, e) = partial(block, order=order, dropout=dropout), widths
    return nn.Sequential(
        *(conv(1, a), conv(a, b), pointwise(b, 10), nn.MaxPool2d(2)),
        *(conv(10, c), conv(c, d), conv(d, e), conv(e, 16, padding=1)),
        *(nn.AvgPool2d(6), pointwise(16, 10), nn.Flatten()),
    )


session7_model_1 = partial(session7, widths=(16, 32, 16, 16, 16), order="norm drop relu")
session7_model_4 = partial(session7, widths=(8, 12, 12, 12, 16), order="relu norm drop")


def session7_model_2(dropout: float = 0.01) -> nn.Sequential:
    """Model 2 of session7mnist_ec2, whose last convolution is depthwise."""
    conv = partial(block, order="norm drop relu", dropout=dropout)
    return nn.Sequential(
        *(conv(1, 8), conv(8, 12), conv(12, 10, 1), nn.MaxPool2d(2)),
        *(conv(10, 12), conv(12, 12), conv(12, 16), conv(16, 16, padding=1, groups=16)),
        *(nn.AvgPool2d(6), pointwise(16, 10), nn.Flatten()),
    )


def session7_model_3(dropout: float = 0.01) -> nn.Sequential:
    """Model 3 of session7mnist_ec2, whose average pooling leaves out the last row and column of its map."""
    conv = partial(block, order="norm drop relu", dropout=dropout)
    return nn.Sequential(
        *(conv(1, 8, padding=1), conv(8, 16, padding=1, groups=8), conv(16, 32), nn.MaxPool2d(2)),
        *(conv(32, 32, padding=1, groups=16), conv(32, 64, 1)),
        *(nn.AvgPool2d(12), pointwise(64, 10), nn.Flatten()),
    )


def under_8k(dropout: float, order: str) -> nn.Sequential:
    """The net that three of mnist_under_8k's four models share, with `order` after each convolution."""
    conv = partial(block, order=order, dropout=dropout, bias=True)
    return nn.Sequential(
        *(conv(1, 8, padding=1), conv(8, 8, padding=1), nn.MaxPool2d(2)),
        *(conv(8, 16, padding=1), conv(16, 16, padding=1), nn.MaxPool2d(2)),
        *(conv(16, 16, padding=1), conv(16, 16, 1), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(144, 10)),
    )


under_8k_relu = partial(under_8k, order="relu")
under_8k_batchnorm = partial(under_8k, order="relu norm")
under_8k_dropout = partial(under_8k, order="relu norm drop")  # as in the committed code


def under_8k_gap(dropout: float = 0.1, last: str = "relu norm") -> nn.Sequential:
    """Model "gap" of mnist_under_8k: global average pooling in place of the linear layer; `last` is what its logits pass through."""
    conv = partial(block, order="relu norm", bias=True)
    return nn.Sequential(
        *(conv(1, 8, padding=1), conv(8, 8, padding=1), nn.MaxPool2d(2), *drop(dropout)),
        *(conv(8, 16, padding=1), conv(16, 16, padding=1), nn.MaxPool2d(2), *drop(dropout)),
        *(conv(16, 16, padding=1), conv(16, 10, 1, order=last), nn.MaxPool2d(2), *(drop(dropout) if last else ())),
        GlobalAverage(),
    )


def assignment_7_model_1(dropout: float = 0.0) -> nn.Sequential:
    """Model_1 of assignment-7."""
    conv = partial(block, order="relu", padding=1, bias=True)
    return nn.Sequential(
        *(conv(1, 8), nn.MaxPool2d(2), conv(8, 16), nn.MaxPool2d(2), nn.Flatten()), *(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    )


def assignment_7_model_2(dropout: float = 0.2) -> nn.Sequential:
    """Model_2 of assignment-7."""
    conv = partial(block, order="relu", padding=1, bias=True)
    return nn.Sequential(
        *(conv(1, 6), nn.MaxPool2d(2), conv(6, 12), nn.MaxPool2d(2), *drop(dropout), nn.Flatten()),
        *(nn.Linear(588, 24), nn.ReLU(), nn.Linear(24, 10)),
    )


def assignment_7_model_3(dropout: float = 0.15) -> nn.Sequential:
    """Model_3 of assignment-7: after four poolings the map is one pixel, and most of the last kernels only meets padding."""
    conv = partial(block, order="norm relu pool drop", padding=1, bias=True, dropout=dropout)
    last = block(16, 10, order="norm relu", padding=1, bias=True)
    return nn.Sequential(conv(1, 4), conv(4, 8), conv(8, 12), conv(12, 16), last, GlobalAverage())


def cnn_aws(dropout: float, width: int, last: str = "norm relu") -> nn.Sequential:
    """The nets of mnist-cnn-aws, with `width` feature maps after pooling; `last` is what the logits pass through."""
    conv = partial(block, order="relu norm drop", dropout=dropout)
    return nn.Sequential(
        *(conv(1, 8), conv(8, 8), pointwise(8, 8), nn.MaxPool2d(2)),
        *(conv(8, width), conv(width, width), conv(width, width, padding=1), conv(width, width, padding=1)),
        *(nn.AvgPool2d(8), block(width, 10, 1, last), nn.Flatten()),
    )


cnn_aws_model_1 = partial(cnn_aws, width=12)
cnn_aws_model_2 = partial(cnn_aws, width=14)  # Model 3 is the same net


def mnist_cnn_part_1(dropout: float = 0.0) -> nn.Sequential:
    """Part 1 of MNIST-CNN: more than half of its weights are in the last layer."""
    conv = partial(block, order="relu")
    return nn.Sequential(
        *(conv(1, 8), conv(8, 8), conv(8, 16), nn.MaxPool2d(2)),
        *(conv(16, 8, 1), conv(8, 8), conv(8, 16), conv(16, 10, 1), nn.Conv2d(10, 10, 7, bias=False), nn.Flatten()),
    )


def mnist_cnn_part_2(dropout: float = 0.01, last: str = "norm relu") -> nn.Sequential:
    """Part 2 of MNIST-CNN; `last` is what its logits pass through before they are averaged."""
    return nn.Sequential(
        *(block(1, 8), *drop(dropout), block(8, 8), *drop(dropout), block(8, 16), nn.MaxPool2d(2), *drop(dropout)),
        *(block(16, 8, 1), *drop(dropout), block(8, 8), *drop(dropout), block(8, 16), *drop(dropout)),
        *(block(16, 10, 1, last), GlobalAverage()),
    )


def mnist_cnn_part_3(dropout: float = 0.05) -> nn.Sequential:
    """Part 3 of MNIST-CNN: depthwise-separable and dilated convolutions in turn."""

    def depthwise(n: int, kernel: int = 3, padding: int = 0) -> nn.Conv2d:
        return nn.Conv2d(n, n, kernel, padding=padding, groups=n, bias=False)

    def separable(n_in: int, n_out: int, kernel: int = 3) -> list[nn.Module]:
        return [depthwise(n_in, kernel, kernel // 2), block(n_in, n_out, 1)]

    def dilated(n: int, dilation: int = 2) -> nn.Sequential:
        return block(n, n, padding=1, dilation=dilation)

    return nn.Sequential(
        *(*separable(1, 10), dilated(10), *separable(10, 10), dilated(10), *drop(dropout)),
        *(*separable(10, 10), dilated(10), *separable(10, 13), nn.MaxPool2d(2)),
        *(*separable(13, 10, 1), dilated(10), *separable(10, 10), dilated(10), *drop(dropout)),
        *(*separable(10, 13), dilated(13, 3), depthwise(13), block(13, 13, 1)),
        *(depthwise(13, 1), pointwise(13, 10), GlobalAverage()),
    )


# Variants: one thing changed in a published net, for an ablation.
session7_model_4_norm_first = partial(session7_model_4, order="norm relu drop")
session7_model_4_group_norm = partial(session7_model_4, order="relu group drop")
under_8k_gap_plain_logits = partial(under_8k_gap, last="")
cnn_aws_model_2_plain_logits = partial(cnn_aws_model_2, last="")
cnn_aws_model_2_relu_logits = partial(cnn_aws_model_2, last="relu")
cnn_aws_model_2_norm_logits = partial(cnn_aws_model_2, last="norm")
mnist_cnn_part_2_plain_logits = partial(mnist_cnn_part_2, last="")
