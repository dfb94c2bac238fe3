"""What is known of a net without training it, as one JSON document.

schema            1; it grows with every change that is not an addition
submission        what was asked for: "my_net.py:Net"
file, name        the source, and the class or function in it; null where none was found
passes            whether no rule of the exercise is broken
error             a sentence where the net could not be checked, else null
parameters, parameter_limit, multiply_adds, receptive_field
                  null where they are not known; a net has fewer parameters than the limit
layers            a list of {name, kind, output, parameters, multiply_adds, receptive_field}; the last is null but for a `nn.Sequential`
findings          a list of {rule, severity, cell, line, what, why, fix}; severity is "rule", "accuracy" or "style", cell is null but in
                  a notebook, where lines count from the cell's first; those that break a rule come first
not_executed      a list of {cell, line}: the statements at the top level that were left out
failed            a sentence for each statement at the top level that failed

`python -P -m coursework.check SUBMISSION [PARAMETERS SECONDS PART...]` runs in the sandbox and leaves an answer for coursework.inspection.
"""

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchinfo
from torch import nn

from coursework import lint, sandbox, submission
from coursework.report import ANSWER, EMPTY
from mnistlib.errors import SettingError
from mnistlib.formatting import count
from mnistlib.recipe import MAX_PARAMETERS
from mnistlib.report import model_summary

OUTSIDE = ("schema", "submission", "passes", "error", "parameter_limit")  # what is known without the net, or follows from the rest


def report(spec: str, fewer_than: int = MAX_PARAMETERS, *required: str) -> dict[str, Any]:
    """Return the document about the net that `spec` names; raise SubmissionError where there is none.

    A course may allow fewer parameters than the exercise, and require parts of lint.PARTS.
    """
    return _report(spec, fewer_than, required)[0]


def _report(spec: str, fewer_than: int, required: Sequence[str]) -> tuple[dict[str, Any], submission.Submission]:
    with lint.files_read() as reads:
        found = submission.load(spec)
    inspected = lint.inspect(found, reads)
    findings = [*asked_for(inspected, fewer_than, required), *inspected.findings]
    document = EMPTY | {
        "submission": spec,
        "file": str(found.file),
        "name": found.name,
        "passes": not any(finding.severity == lint.RULE for finding in findings),
        "parameters": inspected.n_parameters,
        "parameter_limit": fewer_than,
        "multiply_adds": sum(inspected.macs.values()) if inspected.macs else None,
        "receptive_field": inspected.receptive_field,
        "layers": layers(inspected.net, inspected.macs) if inspected.macs else [],
        "findings": [
            {"rule": finding.rule, "severity": finding.severity}
            | _place(found, finding.line)
            | {"what": finding.what, "why": finding.why, "fix": finding.fix}
            for finding in findings
        ],
        "not_executed": [_place(found, line) for line in found.skipped],
        "failed": list(found.failed),
    }
    return document, found


def asked_for(inspected: lint.Inspection, fewer_than: int, required: Sequence[str]) -> list[lint.Finding]:
    """Return what a net lacks of what its course asks for."""
    lacking = [f"The net uses no {part.replace('-', ' ')}." for part in required if part not in inspected.parts]
    if fewer_than < MAX_PARAMETERS and (inspected.n_parameters or 0) >= fewer_than:
        lacking.insert(0, f"The net has {count(inspected.n_parameters)} parameters; fewer than {count(fewer_than)} are asked for.")
    return [lint.Finding("asked-for", None, sentence) for sentence in lacking]


def _place(found: submission.Submission, line: int | None) -> dict[str, int | None]:
    return dict(zip(("cell", "line"), found.place(line) if line else (None, None), strict=True))


def layers(net: nn.Module, macs: dict[str, int]) -> list[dict[str, Any]]:
    """Return a net's layer table: the parts of a `nn.Sequential`, or else every module without parts, in the order of their use."""
    with torch.no_grad():
        net.eval()(torch.zeros(1, 1, 28, 28))  # what the net keeps of a forward can be copied now
    try:
        rows = model_summary.of(net).layers
        names = [name for name, _ in net.named_children()]
        return [
            _row(name, one.kind, one.output, one.n_parameters, one.n_macs, one.receptive_field)
            for name, one in zip(names, rows, strict=True)
        ]
    except (SettingError, ValueError):
        names = {id(module): name for name, module in net.named_modules()}
        try:
            found = torchinfo.summary(net, input_data=torch.zeros(1, 1, 28, 28), mode="eval", verbose=0).summary_list
        except RuntimeError:
            return []
        return [
            _row(
                names.get(id(one.module), ""),
                model_summary.describe(one.module),
                one.output_size[1:],
                0 if one.is_recursive else one.num_params,
                0 if one.is_recursive else macs.get(names.get(id(one.module), ""), 0),
            )
            for one in found
            if one.is_leaf_layer and one.output_size
        ]


def _row(name: str, kind: str, output: Any, n_parameters: int, n_macs: int, receptive_field: int | None = None) -> dict[str, Any]:
    row = {"name": name, "kind": kind, "output": list(output), "parameters": n_parameters, "multiply_adds": n_macs}
    return row | {"receptive_field": receptive_field}


def _recipe(found: submission.Submission) -> dict[str, Any]:
    """Return what RECIPE in a file changes, or why it has no value."""
    if found.recipe_line is None and found.recipe is None:
        return {}
    from coursework import recipes

    try:
        failed = [text for text in found.failed if text.startswith(f"Line {found.recipe_line} failed")]
        if found.recipe_line and (failed or found.recipe is None):
            cell, line = found.place(found.recipe_line)
            raise SettingError(" ".join([f"RECIPE in {f'cell {cell}, ' if cell else ''}line {line} has no value.", *failed]))
        return {"recipe": recipes.plain(found.recipe)}
    except SettingError as error:
        return {"no_recipe": str(error)}


def _give_up(seconds: float) -> None:
    sandbox.leave_failure(SettingError(f"It ran for more than {seconds:g} s."))
    os._exit(1)


def main(spec: str, fewer_than: int = MAX_PARAMETERS, seconds: float | None = None, *required: str) -> None:
    """Leave what is found of a submission, or what went wrong, and end with an error then; that it takes longer than allowed is one."""
    if seconds:
        clock = threading.Timer(seconds, _give_up, [seconds])
        clock.daemon = True
        clock.start()
    try:
        document, found = _report(spec, fewer_than, required)
        answer = {name: value for name, value in document.items() if name not in OUTSIDE} | _recipe(found)
    except SettingError as error:
        answer = {"refused": str(error)}
    except BaseException as error:
        sandbox.leave_failure(error)
        os._exit(1)
    Path(ANSWER).write_text(json.dumps(answer).replace(f"{Path.cwd()}/", ""))
    os._exit(0)  # threads and exit handlers of the code have no say, and nothing has to be cleaned up


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4]), *sys.argv[4:])
