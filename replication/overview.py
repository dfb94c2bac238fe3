"""What the two pages about all published models show: findings, tables and the answers of the studies."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnistlib import formatting
from mnistlib.published import tables
from mnistlib.published.repository import ABLATIONS, PublishedModel
from mnistlib.recipe import MAX_PARAMETERS, MIN_ACCURACY
from mnistlib.report import html, result_tables
from mnistlib.report.html import Shown
from mnistlib.report.result import Result
from replication.results import OTHERS, Placed
from replication.studies import STUDIES

TARGET, LIMIT = formatting.percent(MIN_ACCURACY), formatting.count(MAX_PARAMETERS)


def headline(made: Sequence[Placed]) -> Shown:
    """Return how many claims of which repositories lie where one more seed would, in one sentence."""
    places = [place for each in made for best in (True, False) if (place := each.place(best))]
    repositories = list(dict.fromkeys(each.model.repository for each in made))
    names = [name.partition("/")[2] for name in repositories]
    links = [f'<a href="{tables.address(name)}">{html.phrase(short).html}</a>' for name, short in zip(repositories, names, strict=True)]
    n = f"{formatting.of(places.count('inside'), len(places))} claims of {formatting.count(len(names))} public repositories"
    words = [
        f"{n} ({formatting.listed(each or ['none'])}) lie within the 95% prediction interval of one more seed of ours."
        for each in (links, names)
    ]
    return html.sentence(html.element("strong", Shown(*words)))


def above(made: Sequence[Placed]) -> str:
    """Return how many headline claims lie above what a reader can expect, and above the luckiest of our seeds."""
    mean = sum(each.model.claim.headline > each.mean for each in made)
    luckiest = sum(each.model.claim.headline > max(each.bests) for each in made)
    return (
        f"{formatting.of(mean, len(made))} headline claims lie above the mean of our seeds after the last epoch, and "
        f"{formatting.count(luckiest)} above the best epoch of our luckiest seed."
    )


def findings(made: Sequence[Placed]) -> Shown:
    """Return what reproduces and what does not, in sentences."""
    found = []
    for what, best in (("best-epoch", True), ("last-epoch", False)):
        places = [(each.model, each.place(best)) for each in made if each.place(best)]
        outside = [f"{model.long_title} ({place}{', partly inferred' * model.inferred})" for model, place in places if place != "inside"]
        rest = f" Outside: {formatting.listed(outside)}." if outside else ""
        inside = formatting.of(len(places) - len(outside), len(places))
        found.append(f"{inside} {what} claims lie within the 95% prediction interval of one more seed of ours.{rest}")
    bold = [each for each in made if each.model.claim.headline >= MIN_ACCURACY]
    if bold:
        kept = [each.model.long_title for each in bold if each.mean >= MIN_ACCURACY]
        held, passed, n = (sum(getattr(each.result.summary, name) for each in bold) for name in ("n_held", "n_pass", "n_seeds"))
        names = f" ({formatting.listed(kept)})" if kept else ""
        found.append(
            f"{formatting.counted(len(bold), 'model')} claim the target of {TARGET}. The mean of our seeds ends at or above it for "
            f"{formatting.of(len(kept), len(bold))}{names}. Of their single runs, {formatting.of(passed, n)} end at the target, and "
            f"{formatting.of(held, n)} keep it over the last epochs."
        )
    over = [each.model.long_title for each in made if each.model.n_parameters >= MAX_PARAMETERS]
    wrong = [f"{each.model.long_title}: {tables.parameters(each.model)}" for each in made if each.model.published_parameters]
    found += [f"Not under {LIMIT} parameters: {formatting.listed(over)}."] if over else []
    found += [f"Published with a wrong number of parameters: {formatting.listed(wrong)}."] if wrong else []
    return html.element("ul", html.together(html.element("li", sentence) for sentence in found))


def models_table(made: Sequence[Placed]) -> Shown:
    """Return a row per published model: the claim, the prediction interval of one more seed, the measurement and its verdict."""
    head = ["Model", "Claim, best epoch", "One more seed, best epoch", "Claim, last epoch", "One more seed, last epoch"]
    more_head = ["Here, last epoch", "Verdict", "Parameters"]
    columns = ["Interval", "Seeds passing", "MACs", "Quickest seed"]
    rows = []
    for each in made:
        model, cells = each.model, result_tables.row(each.result)
        name = f'<a href="{model.name}.html">{html.phrase(model.title).html}</a>'
        link = tables.source(model.repository)
        more = html.element("small", Shown(link.html + html.phrase(remarks(model)).html, link.text + remarks(model)))
        row: list[html.Cell] = [Shown(f"{name} {more.html}", f"{model.title} of {more.text}")]
        for best, value, bounds in ((True, model.claim.best, each.next_best), (False, model.claim.final, each.next_final)):
            row += [tables.claimed(model.claim, value), f"{formatting.interval(bounds)} {each.place(best)}".strip() if bounds else ""]
        rows.append([*row, cells["Accuracy"], cells["Verdict"], tables.parameters(model), *(cells[column] for column in columns)])
    caption = "Claims of one run each beside several seeds here; each range holds one more seed of ours with a probability of 95%"
    return html.table(caption, [*head, *more_head, *columns], rows)


def remarks(model: PublishedModel) -> str:
    """Return what a reader has to know wherever a model's figures stand: ", partly inferred"."""
    stopping = model.recipe.early_stopping
    monitors_test = stopping is not None and stopping.monitor == "eval"
    return ", monitors the test images" * monitors_test + ", partly inferred" * model.inferred


def markdown_block(made: Sequence[Placed], image: str, alt: str, place: str = "../reports/published") -> str:
    """Return the generated block of docs/replication.md without its marks: the figure, the table, what the columns mean."""
    head = ["Model", "Parameters", "Claim, chosen on the test set", "Here, luckiest seed, chosen so", "Here, last epoch", "Seeds passing"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for each in made:
        model, cells = each.model, result_tables.row(each.result)
        name = f"[{model.long_title}]({place}/{model.name}.html){remarks(model)}"
        claim, best = tables.claimed(model.claim, model.claim.headline), formatting.percent(max(each.bests))
        row = [name, formatting.count(model.n_parameters), claim, best, cells["Accuracy"].text, cells["Seeds passing"].text]
        lines.append(f"| {' | '.join(row)} |")
    columns = (
        "Claim: one run of the author's, at its best epoch (Model_3 of assignment-7: over its last epochs). Luckiest seed: the best epoch "
        "of all our seeds, chosen on the test set like the claim. Last epoch: mean of the seeds (sd: standard deviation). Passing: at or "
        f"above {TARGET}."
    )
    return "\n\n".join([f"![{alt}]({image})", "\n".join(lines), columns]) + "\n"


def other_repositories_table() -> Shown:
    """Return what other public repositories claim."""
    rows = []
    for other in OTHERS:
        final = "not stated" if other.final is None else formatting.percent(other.final)
        name = tables.source(other.name) if other.url else other.name
        rows.append([name, formatting.count(other.n_parameters), formatting.percent(other.best), final, other.protocol])
    head = ["Repository", "Parameters", "Best epoch", "Last epoch", "Protocol"]
    caption = "Claims of other repositories, none measured here; a name in quotation marks is the title of a README"
    return html.folded("Other repositories", html.table(caption, head, rows))


def ablations_table(found: Mapping[str, Result]) -> Shown:
    """Return the results of the ablations that the studies compare."""
    rows = []
    for name in (name for name in ABLATIONS if name in found):
        cells = result_tables.row(found[name])
        rows.append([name, ABLATIONS[name].title, cells["Accuracy"], cells["Interval"], formatting.count(len(found[name].runs))])
    return html.folded("All ablations", html.table("The ablations", ["Name", "What", "Accuracy", "Interval", "Seeds"], rows))


def study(record: Mapping[str, Any], name: str) -> Shown:
    """Return the answer of a study and the table of its estimates."""
    lines = record["studies"].get(name)
    if not lines:
        return html.sentence("This study needs results that are not there yet; `make published` makes them.", "note")
    head = ["What", "Estimate", "95% interval", "From", "Verdict"]
    rows = [
        [_what(line), _figure(line), _interval(line), line["n"], _verdict(line) if line["kind"] == "difference" else ""] for line in lines
    ]
    columns = len(head) if any(row[-1] for row in rows) else len(head) - 1
    table = html.table("The estimates", head[:columns], [row[:columns] for row in rows])
    return html.together([html.sentence(html.element("strong", answer(name, lines))), table])


def answer(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a study's answer in a sentence."""
    differences, gains = ([line for line in lines if line["kind"] == kind] for kind in ("difference", "gain"))
    significant = [f"{line['what']} ({_figure(line)})" for line in differences if _verdict(line) == "significant"]
    around_zero = [line for line in lines if line["interval"] and line["interval"][0] <= 0 <= line["interval"][1]]
    words = {
        "first": f"{lines[0]['what']}: {_figure(lines[0])}",
        "around_zero": formatting.of(len(around_zero), len(lines)),
        "n_significant": formatting.of(len(significant), len(differences)),
        "significant": f": {'; '.join(significant)}" if significant else "",
        "gains": formatting.listed([_figure(line) for line in gains] or ["none"]),
    }
    for line in lines:
        words |= {line["role"]: _figure(line), f"{line['role']}_interval": _interval(line), f"{line['role']}_verdict": _verdict(line)}
    return STUDIES[name]["answer"].format_map(words)


def _what(line: Mapping[str, Any]) -> Shown:
    text = html.phrase(line["what"])
    return html.together([text, html.element("small", line["note"])]) if line["note"] else text


def _figure(line: Mapping[str, Any]) -> str:
    value, kind = line["value"], line["kind"]
    if kind in ("difference", "gain"):
        return formatting.change(formatting.POINTS, value)
    if kind in ("size", "spread"):
        return f"{100 * value:.{2 if kind == 'size' else 3}f} points"
    return formatting.count(round(value)) if kind == "count" else formatting.percent(value, 0 if kind == "share" else 2)


def _interval(line: Mapping[str, Any]) -> str:
    bounds = line["interval"]
    if not bounds:
        return ""
    if line["kind"] == "spread":
        return f"{100 * bounds[0]:.3f} to {100 * bounds[1]:.3f} points"
    return formatting.interval(bounds) if line["kind"] == "accuracy" else formatting.change(formatting.POINTS, *bounds)


def _verdict(line: Mapping[str, Any]) -> str:
    if line["kind"] not in ("difference", "gain") or not line["interval"]:
        return ""
    return "significant" if line["interval"][0] > 0 or line["interval"][1] < 0 else "inconclusive"
