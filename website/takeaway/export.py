"""A net as the bytes of a safetensors or an ONNX file; the same net and metadata give the same bytes."""

import io
import json
import warnings
from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from mnistlib import data, predict
from mnistlib.runs import cache

OPSET = 17  # of ONNX: the oldest that has all that the nets need, so that older runtimes read it too


class OnPixels(nn.Sequential):
    """A net with the normalisation before it; the layers keep their names."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits of pixels from 0 to 255."""
        return super().forward(data.normalise(pixels.clone()))


def to_safetensors(net: nn.Module, about: Mapping[str, str]) -> bytes:
    """Return a net's weights as safetensors, with metadata."""
    checkpoint = cache.pack(net.state_dict())
    start = 8 + int.from_bytes(checkpoint[:8], "little")
    # The library writes metadata in random order; so they are put into the header of the checkpoint here.
    header = json.dumps({"__metadata__": dict(about), **json.loads(checkpoint[8:start])}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + checkpoint[start:]


def to_onnx(net: nn.Sequential, about: Mapping[str, str]) -> bytes:
    """Return a net as ONNX, checked, with metadata: `pixels`, float32 [n, 1, 28, 28] from 0 to 255, to `logits`, float32 [n, 10]."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that torch calls legacy needs the package onnx alone; the newer one needs onnxscript too.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            OnPixels(*net).eval(),
            (torch.zeros(1, 1, predict.SIDE, predict.SIDE),),
            out,
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_axes={"pixels": {0: "n"}, "logits": {0: "n"}},
            do_constant_folding=False,  # else batch normalization is folded into the convolutions: other weights than the checkpoint's
        )
    model = onnx.load_from_string(out.getvalue())
    model.producer_version = ""  # would change the bytes with every release of torch
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
