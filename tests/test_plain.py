"""The committed accuracies, computed once more by a forward pass that shares nothing with torch."""

from __future__ import annotations

import numpy as np
import plain
import pytest
import torch
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits
from torch import nn

from mnistlib import data, files, models, steps
from mnistlib.models import conv, drop, head
from mnistlib.report import result
from mnistlib.runs.signature import signature
from selection import candidates

REPORTS = files.root() / "reports"
SOME = 1_000  # images
RESULTS = sorted((REPORTS / "results").glob("*.json"))


@pytest.fixture(autouse=True)
def one_blas_thread():
    """Keep NumPy's matrix products on one thread: on busy cores more wait for each other longer than they work."""
    with threadpool_limits(1):
        yield


def randomise(net: nn.Module, seed: int) -> nn.Module:
    """Return a net ready to judge whose weights and running statistics are all random, none at its neutral start."""
    models.init_weights(net, seed)
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in [
                (module.weight.data, 0.5, 2.0),
                (module.bias.data, -1.0, 1.0),
                (module.running_mean, -1.0, 1.0),
                (module.running_var, 0.2, 3.0),
            ]:
                tensor.uniform_(low, high, generator=generator)
    return net.eval()


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    """Return a net's weights as NumPy arrays."""
    return {name: value.numpy() for name, value in net.state_dict().items()}


CONSIDERED = [made.change["model"] for step in candidates.CANDIDATES.values() for made in step if "model" in made.change]
NETS = {name: models.build(name, 0.1) for name in (*models.NETS, *CONSIDERED)} | {
    "odd": nn.Sequential(conv(1, 3, 5, padding=1, pool=True), *drop(0.2), nn.Conv2d(3, 4, 2), nn.MaxPool2d(3, 2), head(4)),
}


@pytest.mark.parametrize("name", NETS)
def test_agrees_with_torch(name: str, monkeypatch) -> None:
    """Every net of ours gives torch's logits, pooling that leaves a row over, biases and a short last batch included."""
    net = randomise(NETS[name], 1)
    monkeypatch.setattr(plain, "BATCH", 10)
    images = torch.randint(0, 256, (17, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = net(data.normalise(images.unsqueeze(1).float())).numpy()
    assert expected.std() > 0.01  # logits worth comparing
    found = plain.logits(signature(net), arrays(net), images.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_refuses_what_it_does_not_compute() -> None:
    """A kind of convolution it was not written for is refused, not computed wrongly."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2))
    with pytest.raises(NotImplementedError):
        plain.logits(signature(net), arrays(net), np.zeros((1, 28, 28), np.uint8))


def test_every_step_is_committed() -> None:
    """The results of all steps of the series are here, each with five seeds or more: without them the next test would say nothing."""
    found = {path.stem: result.read(path) for path in RESULTS}
    missing = [name for name in steps.STEPS if name not in found]
    assert not missing, f"reports/results lacks {missing}; `make series` writes them"
    assert all(len(found[name].runs) >= 5 for name in steps.STEPS if name in found)


@pytest.mark.slow
@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_accuracies(path, mnist: data.Mnist) -> None:
    """Plain arithmetic predicts from each checkpoint what its result holds: all images for the first seed, some for the others."""
    made = result.read(path)
    assert made.headline, f"{path.name} is no full run; only those are committed"
    layers = signature(models.build(made.recipe.model, made.recipe.dropout))
    images, labels = mnist.eval.images.numpy(), mnist.eval.labels.numpy()
    for run, stored in zip(made.runs, result.read_predictions(made, REPORTS)[0], strict=True):
        checkpoint, n = REPORTS / run.checkpoint, len(labels) if run is made.runs[0] else SOME
        assert files.sha256(checkpoint) == run.sha256, f"{checkpoint.name} is not the file that {path.name} names"
        predictions = plain.logits(layers, load_file(checkpoint), images[:n]).argmax(1)
        assert (predictions != stored[:n]).sum() <= 1, checkpoint.name  # rounding may tip an image
        assert int((stored == labels).sum()) == round(run.final * len(labels)), checkpoint.name
