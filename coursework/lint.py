"""Findings about a net: what breaks a rule of the exercise, what costs accuracy, and what is merely untidy.

The net is built, traced and tried on smooth random images, in evaluation and for a few steps of training; it is not trained.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mnistlib
from coursework import receptive_field
from coursework.receptive_field import ACTIVATIONS, DROPOUTS, NORMS, pair
from coursework.submission import Submission
from coursework.trace import Operation, Trace, is_map, line_of, tensors
from mnistlib.formatting import count, of, percent
from mnistlib.recipe import MAX_PARAMETERS
from mnistlib.report.model_summary import describe

DIGIT = 20  # pixels: MNIST's digits fill a box of this side
STEPS = 3  # of training
FEW_CONSTANTS = 256  # different values; a mean, a blur or a mask has fewer
OURS = ("site-packages", str(Path(__file__).parent), str(Path(mnistlib.__file__).parent))  # whose reading of files is no finding
Read = tuple[str, list[tuple[str, int]]]  # a file that was opened, and the files and lines of the calls that led to it
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
SHAPES = {"view", "reshape", "flatten", "squeeze", "max_pool2d", "avg_pool2d"}  # what keeps a bias a bias
AVERAGES = {"adaptive_avg_pool2d", "avg_pool2d", "mean"}
PARTS = {  # what a course may ask for, and the functions of torch that do it
    "batch-normalization": {"batch_norm"},
    "dropout": {"dropout", "dropout1d", "dropout2d", "feature_dropout"},
    "global-average-pooling": AVERAGES,
}
FACTORIES = {"zeros", "ones", "full", "empty", "eye", "arange", "linspace", "zeros_like", "ones_like", "full_like", "empty_like"}
WEIGHTED = {"conv1d", "conv2d", "linear", "matmul", "mm", "bmm", "addmm", "einsum"}

RULE, ACCURACY, STYLE = "rule", "accuracy", "style"
RULES = {  # severity, why it matters, how to fix it
    "parameters": (RULE, "The exercise is about nets that are small.", "Make layers narrower, or replace a dense layer by global pooling."),
    "fails": (
        RULE,
        "A net that cannot be run cannot be trained.",
        "Run the net on torch.zeros(2, 1, 28, 28) and mend the line named here.",
    ),
    "output-shape": (
        RULE,
        "Ten logits an image are compared with its label.",
        "Let forward return [n, 10] for [n, 1, 28, 28], n = 1 included: x.flatten(1), not x.view(-1, 10) or squeeze().",
    ),
    "non-finite": (RULE, "One NaN or infinity makes the loss, and so all weights, NaN.", "Look for a division by zero, a log or an exp."),
    "batch-dependent": (
        RULE,
        "An image must get the same prediction in whatever company it is evaluated.",
        "In evaluation use running statistics (track_running_stats=True), and no mean over the batch.",
    ),
    "random-evaluation": (
        RULE,
        "An accuracy that changes with every evaluation is no property of the net.",
        "Write F.dropout(x, p, training=self.training) or use nn.Dropout, and keep no state in forward.",
    ),
    "hidden-state": (
        RULE,
        "What is learnt counts as parameters, wherever it is kept.",
        "Keep what is learnt in nn.Parameter; only the running statistics of normalization may be buffers.",
    ),
    "hidden-constants": (
        RULE,
        "Stored numbers count like parameters.",
        "Compute the constants in forward from a formula, or make them fewer.",
    ),
    "reads-files": (RULE, "Weights or data from a file are not part of the parameters that are counted.", "Remove what reads the file."),
    "unregistered-weights": (
        ACCURACY,
        "The optimizer gets the registered parameters, so these are never trained.",
        "Use nn.ModuleList or nn.ParameterList instead of a list, or nn.Parameter instead of a tensor.",
    ),
    "bias-before-norm": (ACCURACY, "The normalization subtracts the mean, and the bias with it.", "Give the layer bias=False."),
    "logits": (
        ACCURACY,
        "Logits need all signs and sizes, in training and in evaluation.",
        "End with the last convolution or linear layer, and pooling where needed.",
    ),
    "softmax-output": (
        ACCURACY,
        "Cross-entropy applies log-softmax itself; after a softmax its gradients vanish.",
        "Return the logits, or F.log_softmax(x, dim=1) for F.nll_loss.",
    ),
    "padding-only-weights": (
        ACCURACY,
        "They are multiplied by zeros alone, and count as parameters.",
        "Pool less before, or use a smaller kernel.",
    ),
    "unread-map": (ACCURACY, "What was computed there is thrown away.", "Choose sizes that divide, or padding."),
    "no-gradient": (ACCURACY, "Parameters that never change count, and help nobody.", "Use them in forward, or remove them."),
    "small-receptive-field": (
        ACCURACY,
        "No place of the last maps sees a whole digit before they are pooled.",
        "Pool earlier, add a convolution, or use dilation or larger kernels.",
    ),
    "dense-layer": (
        ACCURACY,
        "Convolutions use a weight at every place of a map, a dense layer once.",
        "Use global average pooling before the linear layer, and spend the parameters on convolutions.",
    ),
    "asked-for": (RULE, "This course asks for it.", "Change the net so that it has what is asked for."),
    "unused-module": (STYLE, "A reader takes it for a part of the net.", "Call it in forward, or remove it."),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a net."""

    rule: str  # a key of RULES
    line: int | None  # of the author's source
    what: str

    @property
    def severity(self) -> str:
        """Return "rule", "accuracy" or "style"."""
        return RULES[self.rule][0]

    @property
    def why(self) -> str:
        """Return why it matters."""
        return RULES[self.rule][1]

    @property
    def fix(self) -> str:
        """Return how to fix it."""
        return RULES[self.rule][2]


@dataclass(frozen=True)
class Inspection:
    """What is known of a net without training it; figures are None where its forward fails."""

    findings: tuple[Finding, ...]
    n_parameters: int | None = None
    macs: dict[str, int] = field(default_factory=dict)  # multiply-adds for an image, by the module that runs them
    receptive_field: int | None = None
    net: nn.Module | None = None
    parts: tuple[str, ...] = ()  # of PARTS, those that the forward uses


def inspect(submission: Submission, already_read: Sequence[Read] = ()) -> Inspection:
    """Build a net, try it, and return its figures and findings, those that break a rule first.

    `already_read` are the files that were read while it was loaded.
    """
    torch.manual_seed(0)
    one = _Inspector(submission)
    with files_read() as reads:
        built = one.attempt("Building the net", one.build)
        if built and one.attempt("Evaluation", one.evaluate):
            if not one.findings or one.findings[0].rule not in ("output-shape", "non-finite"):
                one.attempt("Training", one.train)
            one.measure()
        if built:
            one.count()
    one.read_files((*already_read, *reads))
    order = {severity: place for place, severity in enumerate((RULE, ACCURACY, STYLE))}
    findings = sorted(dict.fromkeys(one.findings), key=lambda finding: (order[finding.severity], finding.line or 0))
    return Inspection(tuple(findings), one.n_parameters, one.macs, one.receptive_field, one.net, tuple(parts(one.trace)))


def parts(trace: Trace) -> list[str]:
    """Return which of PARTS a forward uses, as modules or as functions."""
    names = {one.name for one in trace.operations if one.name not in AVERAGES or _is_global(one)}
    return [part for part, functions in PARTS.items() if names & functions]


def _is_global(one: Operation) -> bool:
    return is_map(one.source) and isinstance(one.output, Tensor) and one.output.numel() == one.source.shape[0] * one.source.shape[1]


def images(n: int, seed: int = 0) -> Tensor:
    """Return smooth random images [n, 1, 28, 28] of mean 0."""
    coarse = torch.randn(n, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=28, mode="bilinear")


class _Inspector:
    def __init__(self, submission: Submission) -> None:
        self.submission, self.file = submission, submission.file
        self.findings: list[Finding] = []
        self.net: nn.Module | None = None
        self.trace = Trace(submission.file)
        self.n_parameters = self.receptive_field = None
        self.macs: dict[str, int] = {}

    def add(self, rule: str, line: int | None, what: str) -> None:
        self.findings.append(Finding(rule, line or self.submission.line, what))

    def attempt(self, what: str, step: Callable[[], None]) -> bool:
        """Run a step; an error of the author's code is a finding."""
        try:
            step()
        except Exception as error:
            if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
                raise MemoryError from error
            line, trace = None, error.__traceback__
            while trace:
                line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(self.file) else line
                trace = trace.tb_next
            reason = (str(error).strip().splitlines() or [""])[0]
            self.add("fails", line, f"{what} fails: {type(error).__name__}: {reason.rstrip('.')}.")
            return False
        return True

    def read_files(self, reads: Iterable[Read]) -> None:
        folder, places = str(self.file.parent), {}
        for name, frames in reads:
            own = [
                frame
                for frame in frames
                if frame[0] == str(self.file) or (frame[0].startswith(folder) and not any(part in frame[0] for part in OURS))
            ]
            line = next((line for file, line in own if file == str(self.file)), None)
            if own and places.setdefault(name, line) is line:
                self.add("reads-files", line, f"The code reads the file {Path(name).name}.")

    def build(self) -> None:
        with _construction_lines(self.file) as lines:
            self.net = self.submission.factory(None)
        self.lines = {name: lines.get(id(module)) for name, module in self.net.named_modules()}

    def evaluate(self) -> None:
        net = self.net.eval()
        batch = images(6)
        with torch.enable_grad():
            output = self.trace.run(net, batch[:2].clone().requires_grad_())
        with torch.no_grad():
            outputs = {n: net(batch[:n].clone()) for n in (1, 2, 6)}
            again = net(batch.clone())
        forward = _line_of_forward(net, self.file)
        shapes = {n: tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for n, one in outputs.items()}
        wrong = next((n for n in outputs if shapes[n] != (n, 10)), None)
        if wrong is not None:
            shown = f"shape {list(shapes[wrong])}" if isinstance(shapes[wrong], tuple) else f"a {shapes[wrong]}"
            self.add("output-shape", forward, f"For images of shape [{wrong}, 1, 28, 28] the net returns {shown}, not [{wrong}, 10].")
            return
        if not all(one.isfinite().all() for one in outputs.values()):
            self.add("non-finite", self._first_non_finite() or forward, "The net's outputs are not all finite numbers.")
            return
        random = next((one.line for one in self.trace.operations if one.name in DROPOUTS and one.argument(2, "training", True)), None)
        if not _same(outputs[6], again):
            self.add("random-evaluation", random or forward, "Two evaluations of the same images give different outputs.")
        elif not (_same(outputs[6][:1], outputs[1]) and _same(outputs[6][:2], outputs[2])):
            norm = next((self.line(one) for one in self.trace.operations if one.name in NORMS and one.argument(5, "training", False)), None)
            self.add("batch-dependent", norm or forward, "In evaluation, an image's outputs depend on the other images of its batch.")
        if (output >= 0).all() and _same(output.detach().sum(1), torch.ones(2)):
            last = next((self.line(one) for one in reversed(self.trace.operations) if one.name == "softmax"), None)
            self.add("softmax-output", last or forward, "The net returns probabilities.")

    def _first_non_finite(self) -> int | None:
        bad = (
            one
            for one in self.trace.operations
            if not all(made.isfinite().all() for made in tensors(one.output) if made.is_floating_point())
        )
        return next((self.line(one) for one in bad), None)

    def count(self) -> None:
        """Count parameters, and constants that stand in for them."""
        known = [one for one in self.net.parameters() if not nn.parameter.is_lazy(one)]
        registered = set(map(id, known))
        found = {id(one): one for operation in self.trace.operations for one in operation.leaves if one.requires_grad}
        unregistered = {key: one for key, one in found.items() if key not in registered}
        self.n_parameters = sum(one.numel() for one in (*known, *unregistered.values()))
        if unregistered:
            operation = next(one for one in self.trace.operations if any(id(leaf) in unregistered for leaf in one.leaves))
            n = sum(one.numel() for one in unregistered.values())
            self.add("unregistered-weights", operation.line, f"{count(n)} weights that forward uses are not registered as parameters.")
        if self.n_parameters >= MAX_PARAMETERS:
            allowed = f"the exercise allows fewer than {count(MAX_PARAMETERS)}"
            self.add("parameters", None, f"The net has {count(self.n_parameters)} parameters; {allowed}.")
        constants = self._constants(registered | set(unregistered))
        n = sum(n for n, _ in constants)
        if n > FEW_CONSTANTS and self.n_parameters + n >= MAX_PARAMETERS:
            _, line = max(constants, key=lambda constant: constant[0])
            self.add("hidden-constants", line, f"Beside {count(self.n_parameters)} parameters the net uses {count(n)} constants.")

    def _constants(self, parameters: set[int]) -> list[tuple[int, int | None]]:
        """Return how many different values each tensor holds that is neither parameter, image nor running statistic, and its line.

        Of a large tensor every value counts, for a bit is enough to store something.
        """
        known = parameters | {id(one) for name, one in self.net.named_buffers() if _is_running(name, one)}
        held: dict[int, tuple[Tensor, int | None]] = {}
        for one in self.trace.operations:
            held |= {id(leaf): (leaf, one.line) for leaf in one.leaves}
            if not one.producers and not one.leaves and one.source is not self.trace.images and one.name not in FACTORIES:
                held |= {id(made): (made, one.line) for made in tensors(one.output)}
        different = [(one.numel(), len(one.detach().unique()), line) for key, (one, line) in held.items() if key not in known]
        return [(size if size >= MAX_PARAMETERS and n > 1 else n, line) for size, n, line in different]

    def line(self, operation: Operation) -> int | None:
        """Return where the layer that does an operation is made, or else where it is called."""
        module = self.net.get_submodule(operation.module)
        made = self.lines.get(operation.module) if type(module).__module__.startswith("torch.nn.") else None
        return made or operation.line

    def words(self, operation: Operation) -> str:
        """Return a layer in a reader's words, with its name: "conv 1→8 3x3 (features.0)"."""
        module = self.net.get_submodule(operation.module)
        if type(module).__module__.startswith("torch.nn.") and not list(module.children()):
            return f"{describe(module)} ({operation.module})"
        return operation.name

    def measure(self) -> None:
        """Compute multiply-adds and the receptive field, and read the trace for findings."""
        with torch.no_grad():
            self.net.eval()(images(2))  # what the net keeps of a forward can be copied now
        for one in self.trace.operations:
            self.macs[one.module] = self.macs.get(one.module, 0) + _n_macs(one)
        self.receptive_field = receptive_field.measure(self.net)
        n_parameters, path = sum(one.numel() for one in self.net.parameters()), self.trace.path()
        for one in path:
            bias = one.argument(2, "bias") if one.name in ("conv2d", "linear", "conv1d") else None
            if bias is not None and (after := _followers(one)) and all(other.name in ("batch_norm", "instance_norm") for other in after):
                self.add(
                    "bias-before-norm", self.line(one), f"The normalization cancels the {count(bias.numel())} biases of {self.words(one)}."
                )
            if one.name in ("conv2d", "max_pool2d", "avg_pool2d") and isinstance(one.output, Tensor) and one.output.dim() == 4:
                self._read_window(one)
            if one.name in ("conv2d", "linear") and 2 * one.argument(1, "weight").numel() > n_parameters and _is_dense(one):
                share = percent(one.argument(1, "weight").numel() / n_parameters, 0)
                self.add("dense-layer", self.line(one), f"The layer {self.words(one)} holds {share} of the parameters.")
        for operation, effect in _on_logits(self.trace, {id(one) for one in self.net.parameters()}):
            self.add("logits", self.line(operation), f"After the last weights, {self.words(operation)} {effect}.")
        self._read_receptive_field(path)

    def _read_window(self, one: Operation) -> None:
        """Find weights that only meet padding, and rows and columns that are never read."""
        first = {"conv2d": 3, "max_pool2d": 2, "avg_pool2d": 2}[one.name]
        kernel = one.argument(1, "weight").shape[2:] if one.name == "conv2d" else pair(one.argument(1, "kernel_size"))
        strides = pair(one.argument(first, "stride", None) or (1 if one.name == "conv2d" else kernel))
        padding = one.argument(first + 1, "padding", 0)
        dilation = pair(one.argument(first + 2, "dilation", 1)) if one.name != "avg_pool2d" else (1, 1)
        if isinstance(padding, str):  # PyTorch has the odd one of "same" behind
            padding = [(step * (side - 1)) // 2 if padding == "same" else 0 for side, step in zip(kernel, dilation, strict=True)]
        live, unread = [], []
        for side in (0, 1):
            outputs = range(one.output.shape[2 + side])
            reads = [[o * strides[side] + k * dilation[side] - pair(padding)[side] for o in outputs] for k in range(kernel[side])]
            size = one.source.shape[2 + side]
            live.append(sum(any(0 <= place < size for place in places) for places in reads))
            unread.append(size - len({place for places in reads for place in places if 0 <= place < size}))
        n_dead = kernel[0] * kernel[1] - live[0] * live[1]
        size = f"{one.source.shape[2]}x{one.source.shape[3]}"
        if n_dead and one.name == "conv2d":
            weight = one.argument(1, "weight")
            n = n_dead * weight.numel() // (kernel[0] * kernel[1])
            share = f"{of(n, weight.numel())} weights of {self.words(one)}"
            self.add("padding-only-weights", self.line(one), f"{share} only ever meet padding: its map is {size}.")
        if any(unread):
            self.add(
                "unread-map",
                self.line(one),
                f"Of its {size} map, {self.words(one)} never reads {count(unread[0])} of the rows and {count(unread[1])} of the columns.",
            )

    def _read_receptive_field(self, path: list[Operation]) -> None:
        maps = [one for one in path if is_map(one.output)]
        pooled = maps and any("pool" in one.name or one.name in ("mean", "amax", "max", "sum") for one in maps[-1].consumers)
        if pooled and self.receptive_field and self.receptive_field < DIGIT:
            what = f"The receptive field is {count(self.receptive_field)} pixels where the maps are pooled; a digit has up to {DIGIT}."
            self.add("small-receptive-field", self.line(maps[-1]), what)

    def train(self) -> None:
        """Train for a few steps; find what has no gradient, and what is learnt outside the parameters."""
        net = self.net
        before = net.eval()(images(4)).detach().clone()
        kept = {name: value.detach().clone() for name, value in net.state_dict().items()}
        learns = {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}
        largest = dict.fromkeys(learns, 0.0)
        used = Trace(self.file)
        for step in range(STEPS):
            output = used.run(net.train(), images(16, step))
            if not output.isfinite().all():
                self.add("non-finite", _line_of_forward(net, self.file), "In training, the net's outputs are not all finite numbers.")
                return
            if learns:
                net.zero_grad()
                F.cross_entropy(output, torch.arange(16) % 10).backward()
                largest |= {k: max(largest[k], float(p.grad.abs().max()) if p.grad is not None else 0.0) for k, p in learns.items()}
                _descend(learns.values())
        self._read_use(used, [name for name, _ in net.named_parameters() if not largest.get(name)])
        changed = [name for name, value in net.named_buffers() if name in kept and not torch.equal(kept[name], value)]
        with torch.no_grad():
            for name, value in (*net.named_parameters(), *((n, v) for n, v in net.named_buffers() if _is_running(n, v))):
                value.copy_(kept.get(name, value))
        stable = not any(one.rule == "random-evaluation" for one in self.findings)
        if stable and not _same(before, net.eval()(images(4))):
            holder = next((name for name in changed if not _is_running(name, net.get_buffer(name))), "")
            what = f"The buffer {holder}" if holder else "Something outside the parameters"
            self.add("hidden-state", self.lines.get(holder.rpartition(".")[0]), f"{what} changes in training, and the outputs with it.")

    def _read_use(self, used: Trace, still: list[str]) -> None:
        """Find modules that forward never uses, and parameters without gradient in the others."""
        touched = {id(leaf) for trace in (used, self.trace) for one in trace.operations for leaf in one.leaves}
        called = used.called | self.trace.called
        unused: list[str] = []
        for name, module in self.net.named_modules():
            inside = any(one == name or one.startswith(name + ".") for one in called)
            if not name or inside or any(id(one) in touched for one in module.parameters()) or "Loss" in type(module).__name__:
                continue
            if not name.startswith(tuple(one + "." for one in unused)) and (
                not isinstance(module, nn.ModuleList) or list(module.parameters())
            ):
                unused.append(name)
                n = sum(one.numel() for one in module.parameters())
                rule = "no-gradient" if n else "unused-module"
                self.add(rule, self.lines.get(name), f"forward never uses {name}" + (f", which has {count(n)} parameters." if n else "."))
        for name in still:
            if not name.startswith(tuple(one + "." for one in unused)):
                self.add("no-gradient", self.lines.get(name.rpartition(".")[0]), f"The parameter {name} gets no gradient.")


def _n_macs(one: Operation) -> int:
    if one.name not in ("conv2d", "linear"):
        return 0
    weight, output = one.argument(1, "weight"), one.output
    return weight.numel() * (output.numel() // (output.shape[0] * weight.shape[0]))


def _followers(one: Operation) -> list[Operation]:
    """Return what uses an operation's output, beyond pooling and changes of shape."""
    return [last for other in one.consumers for last in (_followers(other) if other.name in SHAPES else [other])]


def _is_dense(one: Operation) -> bool:
    """Say whether a layer has a weight for each place of a map."""
    if one.name == "conv2d":
        return is_map(one.source) and not is_map(one.output) and one.argument(6, "groups", 1) == 1
    source = one.producers[0] if one.producers else None
    while source and source.name in ("dropout", "clone"):
        source = source.producers[0] if source.producers else None
    return source is not None and source.name in ("flatten", "view", "reshape") and is_map(source.source)


def _on_logits(trace: Trace, parameters: set[int]) -> Iterator[tuple[Operation, str]]:
    """Yield what changes the logits after the last weights, in the order of the forward."""
    found, one = [], trace.last
    while one and one.name not in WEIGHTED:
        if one.name in NORMS:
            found.append((one, "normalizes the logits"))
        elif any(id(leaf) in parameters for leaf in one.leaves):
            break
        elif one.name in DROPOUTS and one.argument(1, "p", 0.5) > 0:
            found.append((one, "drops logits in training"))
        elif one.name.startswith("relu"):
            found.append((one, "sets negative logits to zero"))
        elif one.name in ACTIVATIONS.split():
            found.append((one, "bends the logits"))
        one = one.producers[0] if one.producers else None
    yield from reversed(found if one else [])


def _is_running(name: str, buffer: Tensor) -> bool:
    """Say whether a buffer holds running statistics of normalization: one number for each feature map."""
    return name.rpartition(".")[2] in RUNNING and buffer.numel() <= FEW_CONSTANTS


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-4 * a.abs().max().clamp(min=1))


def _descend(parameters: Iterable[nn.Parameter], lr: float = 0.01) -> None:
    """Take a step of gradient descent; torch.optim would import torch's compiler first, which takes longer than all else here."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter -= lr * parameter.grad


def _line_of_forward(net: nn.Module, file: Path) -> int | None:
    code = getattr(type(net).forward, "__code__", None)
    return code.co_firstlineno if code and code.co_filename == str(file) else None


@contextlib.contextmanager
def _construction_lines(file: Path) -> Iterator[dict[int, int]]:
    """Give the line at which each module is made, by its id, while modules are made inside."""
    lines: dict[int, int] = {}
    original = nn.Module.__init__

    def recording(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if line := line_of(str(file)):
            lines[id(self)] = line
        original(self, *args, **kwargs)

    nn.Module.__init__ = recording
    try:
        yield lines
    finally:
        nn.Module.__init__ = original


_watching: list[list[Read]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _watching or not isinstance(args[0], str | bytes) or "r" not in (args[1] or "r"):
        return
    name, frame, frames = str(args[0]), sys._getframe(1), []
    if name.endswith((".py", ".pyc")) or name.startswith(("/proc/", "/sys/", "/dev/")):
        return
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    _watching[-1].append((name, frames))


@contextlib.contextmanager
def files_read() -> Iterator[list[Read]]:
    """Give the files that are opened for reading inside, modules left out, each with the calls that led to it."""
    if not hasattr(_audit, "added"):
        sys.addaudithook(_audit)
        _audit.added = True
    _watching.append([])
    try:
        yield _watching[-1]
    finally:
        _watching.pop()
