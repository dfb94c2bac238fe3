"""The offline sample: scikit-learn's bundled handwritten digits, brought to MNIST's size."""

from __future__ import annotations

import numpy as np

CANVAS, BOX, SMALL, WHITE = 28, 20, 8, 16  # pixels a side: the image, the digit's box amid it, the original; the original's white


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return images, bytes `[n, 28, 28]`, white on black in a centred box like MNIST's, and labels `[n]`.

    The enlargement is bilinear and in whole numbers, so that every machine gets the same bytes.
    """
    from sklearn.datasets import load_digits  # slow to import, and needed here alone

    small, labels = load_digits(return_X_y=True)
    small = small.reshape(-1, SMALL, SMALL).astype(np.int64)
    centres = (np.arange(BOX) + 0.5) * SMALL / BOX - 0.5  # of the large pixels, on the small ones' grid: a multiple of a tenth
    weights = np.stack([np.interp(centres, np.arange(SMALL), unit) for unit in np.eye(SMALL)], axis=1)
    tenths = np.rint(10 * weights).astype(np.int64)  # [large, small]
    large = (tenths @ small @ tenths.T * 255 + 50 * WHITE) // (100 * WHITE)
    margin = (CANVAS - BOX) // 2
    return np.pad(large, ((0, 0), (margin, margin), (margin, margin))).astype(np.uint8), labels.astype(np.int64)
