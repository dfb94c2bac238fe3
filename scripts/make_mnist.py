"""Make mnistlib/mnist.npz from the original files: python scripts/make_mnist.py FOLDER

FOLDER holds MNIST's four IDX files and QMNIST's two label files, each plain or as .gz, also in folders of their own. Every file's
extracted bytes must have the known sha256. The result is the same, byte for byte, wherever it is made with the same zlib.
"""

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "qmnist-train-labels-idx2-int": "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
    "qmnist-test-labels-idx2-int": "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
}
OUT = Path(__file__).resolve().parents[1] / "mnistlib" / "mnist.npz"


def original(folder: Path, name: str) -> bytes:
    """Return the extracted bytes of an original file; end the program where it is missing or has another sha256."""
    found = sorted(path for path in folder.rglob("*") if path.name in (name, f"{name}.gz"))
    if not found:
        sys.exit(f"There is no {name} or {name}.gz below {folder}.")
    content = found[0].read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        sys.exit(f"{found[0]} is not the original {name}: its sha256 differs.")
    return content


def main(folder: Path) -> None:
    """Write images, labels, writers and NIST partitions of both splits."""
    arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = np.frombuffer(original(folder, f"{prefix}-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.frombuffer(original(folder, f"{prefix}-labels-idx1-ubyte"), np.uint8, offset=8)
        table = np.frombuffer(original(folder, f"qmnist-{split}-labels-idx2-int"), ">i4", offset=12).reshape(-1, 8)[: len(labels)]
        assert np.array_equal(table[:, 0], labels), "QMNIST's classes are not MNIST's labels"
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        arrays |= {f"{split}_writers": table[:, 2].astype(np.uint16), f"{split}_partitions": table[:, 1].astype(np.uint8)}
    np.savez_compressed(OUT, **arrays)
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes, sha256 {hashlib.sha256(OUT.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
