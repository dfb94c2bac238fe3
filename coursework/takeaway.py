"""The first seed's net to take away: its weights as safetensors, and as ONNX, which a process in the sandbox makes.

`python -P -m coursework.takeaway SUBMISSION INPUTS` runs there and leaves the ONNX file in the working directory.
"""

import base64
import html
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from coursework import judge, sandbox, source
from coursework.sandbox import Limits
from mnistlib import data, files, formatting
from mnistlib.report.html import Shown, element, phrase, sentence, table, together
from mnistlib.report.step_report import StepReport
from mnistlib.runs import cache

OPSET = 17  # of ONNX: old enough for older runtimes
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
LARGEST = 1 << 20  # bytes of a file that the page itself holds
LIMITS = Limits(seconds=600, cpu_seconds=600)
ONNX, LOGITS, MISSING = "net.onnx", "logits.npy", "missing"


@dataclass(frozen=True)
class Exported:
    """An ONNX file, or why there is none, and how many of its predictions are those of the training's end."""

    content: bytes | None
    reason: str  # "" where there is a file
    n_same: int | None = None  # of the evaluated images; None where onnxruntime is not installed


class OnPixels(nn.Module):
    """A net with the normalisation before it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits of pixels from 0 to 255."""
        return self.net(data.normalise(pixels.clone()))


def to_onnx(spec: str, report: StepReport) -> Exported:
    """Export the first seed of a submission in the sandbox: `pixels`, float32 [n, 1, 28, 28] from 0 to 255, to `logits` [n, 10]."""
    run, images = report.runs[0], report.mnist.eval
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        inputs, scratch = Path(there), Path(folder)
        (inputs / "weights.safetensors").write_bytes(cache.pack(run.weights))
        (inputs / "task.json").write_text(json.dumps({"dropout": report.result.recipe.dropout}))
        np.save(inputs / "images.npy", images.images.numpy())
        inputs.chmod(0o755)  # the sandbox may have another user
        for path in inputs.iterdir():
            path.chmod(0o644)
        outcome = sandbox.run_module("coursework.takeaway", source.find(spec), [str(inputs)], scratch, [inputs], LIMITS)
        content = sandbox.read(scratch / ONNX, LIMITS.file_bytes)
        if outcome.reason or content is None:
            return Exported(None, f"There is no ONNX file. {outcome.reason or 'The export left none.'}")
        if (scratch / MISSING).exists():
            return Exported(content, "")
        try:
            found = judge.read_logits(scratch / LOGITS, len(images.labels), "of the ONNX file")
        except ValueError as error:
            return Exported(None, f"There is no ONNX file. {error}")
        return Exported(content, "", int((found.argmax(1).numpy() == run.predictions).sum()))


def save(spec: str, report: StepReport) -> Shown:
    """Write the ONNX file beside the first seed's checkpoint and return both as links, with what they hold."""
    result, run, exported = report.result, report.runs[0], to_onnx(spec, report)
    checkpoint = report.path.parents[1] / result.runs[0].checkpoint
    weights, onnx = checkpoint.read_bytes(), checkpoint.with_suffix(".onnx")
    rows = [["Weights, safetensors", _link(checkpoint.name, weights), _size(weights), element("code", files.sha256(weights))]]
    if exported.content is None:
        onnx.unlink(missing_ok=True)
    else:
        content = exported.content
        files.write(onnx, content)
        rows.append(["Net, ONNX", _link(onnx.name, content), _size(content), element("code", files.sha256(content))])
    caption = f"Seed {run.seed} after its training; the files are in {checkpoint.parent.name}/ and in this page"
    words = [_held(run.weights), exported.reason]
    if exported.content is not None:
        words.append(
            f"The ONNX file takes pixels, float32 [n, 1, {', '.join(map(str, report.mnist.eval.images.shape[1:]))}] from 0 to 255, and "
            f"gives logits, float32 [n, 10]. "
            + (
                "Its predictions were not compared, because onnxruntime is not installed."
                if exported.n_same is None
                else f"Run by onnxruntime in the sandbox, it predicts the same digit as the training's end for "
                f"{formatting.of(exported.n_same, len(run.predictions))} {result.split} images."
            )
        )
    return together([table(caption, ["What", "File", "Size", "sha256"], rows), *(sentence(text, "note") for text in words if text)])


def _held(weights: dict[str, Tensor]) -> str:
    running = sum(value.numel() for name, value in weights.items() if name.endswith(RUNNING))
    total = sum(value.numel() for value in weights.values())
    return (
        f"The weights hold {formatting.counted(total - running, 'number')}, and {formatting.count(running)} more that normalization "
        "layers keep of their inputs."
    )


def _size(content: bytes) -> str:
    return f"{formatting.count(len(content))} bytes"


def _link(name: str, content: bytes) -> Shown:
    if len(content) > LARGEST:
        return phrase(name)
    held = base64.b64encode(content).decode()
    return Shown(f'<a download="{html.escape(name)}" href="data:application/octet-stream;base64,{held}">{html.escape(name)}</a>', name)


def main(spec: str, inputs: Path) -> None:
    """Export a submission's net with the weights given, run the file on the images, and leave both, or what went wrong."""
    from coursework import submission

    try:
        task = json.loads((inputs / "task.json").read_text())
        net = submission.load(spec).factory(task["dropout"] or None)
        net.load_state_dict(safetensors.load_file(inputs / "weights.safetensors"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = (torch.zeros(2, 1, *np.load(inputs / "images.npy", mmap_mode="r").shape[1:]),)
            axes = {"pixels": {0: "n"}, "logits": {0: "n"}}
            # The exporter that torch calls legacy needs the package onnx alone; the newer one needs onnxscript too.
            torch.onnx.export(
                OnPixels(net).eval(),
                example,
                ONNX,
                dynamo=False,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_axes=axes,
            )
        logits = run(Path(ONNX), np.load(inputs / "images.npy"))
        if logits is None:
            Path(MISSING).touch()
        else:
            np.save(LOGITS, logits)
    except BaseException as error:
        sandbox.leave_failure(error)
        sys.exit(1)


def run(path: Path, images: np.ndarray, batch: int = 1000) -> np.ndarray | None:
    """Return the logits that onnxruntime computes with a file, float32 [n, 10]; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    parts: Sequence[np.ndarray] = [images[first : first + batch] for first in range(0, len(images), batch)]
    return np.concatenate([session.run(None, {"pixels": part[:, None].astype(np.float32)})[0] for part in parts])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
