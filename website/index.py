"""The results of a series as index.html, and as README's table and image."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mnistlib import files, formatting, recipe, steps
from mnistlib.errors import ResultError
from mnistlib.report import page, plots, result, result_tables
from mnistlib.report.html import Shown, badge, phrase
from mnistlib.report.result import Result
from mnistlib.stats.comparison import Claim, Difference
from selection import points
from website import figures, site

FOLDER = Path(__file__).parent
IMAGE = "steps.png"
BESIDE = {one.name: one.beside for one in (steps.ABLATIONS | points.POINTS).values()}  # the page of a result that has none of its own
EPOCH = ("train_loss", "train_accuracy", "eval_loss", "eval_accuracy", "learning_rate", "seconds")
FLOOR, HEADLINE = "softmax", "04_frontier"  # the ablation below the steps, and the step that the first sentence is about
WORDS = {  # what each step brings, for readers who do not know its name
    "00_skeleton": "convolutions instead of a linear layer",
    "01_capacity": "more parameters",
    "02_regularise": "batch normalization",
    "02b_anneal": "a learning rate that falls to zero",
    "03_augment": "randomly warped training images",
    "04_frontier": "a separable convolution used several times, with averaged weights",
}


def build(reports: Path) -> Path:
    """Write index.html, epochs.csv and the picture of previews from the results in `reports`/results; link to the pages that are there."""
    pages = {path.stem for path in reports.glob("*.html")} | {path.parent.name for path in reports.glob("*/index.html")}
    if results := load(reports):
        files.write(reports / site.PREVIEW, figures.steps(results, near_target(results)).png())
    files.write(reports / "epochs.csv", epochs([result.read(path) for path in sorted((reports / "results").glob("*.json"))]))
    return files.write(reports / "index.html", text(load(reports), pages, smaller(reports)))


def epochs(results: Sequence[Result]) -> str:
    """Return one line of values separated by commas for every epoch of every seed of every step, ablations included."""
    lines = [",".join(["step", "parameters", "macs", "split", "seed", "epoch", *EPOCH])]
    for one in results:
        for run in one.runs:
            for number, values in enumerate(zip(*(getattr(run.history, name) for name in EPOCH), strict=True), 1):
                about = [one.step, one.n_parameters, one.n_macs, one.split, run.seed, number]
                lines.append(",".join([*map(str, about), *(f"{value:.6g}" for value in values)]))
    return "\n".join(lines) + "\n"


def build_readme(reports: Path, readme: Path, images: Path) -> Path:
    """Write the image of the results into `images`, and their first sentence and table into README's generated blocks."""
    results = load(reports)
    new = replaced(readme.read_text(encoding="utf-8"), " ".join(filter(None, answer(results))) + "\n", readme.name, "answer")
    new = replaced(replaced(new, block(results), readme.name), site.published(), readme.name, "address")
    if results:
        files.write(images / IMAGE, plots.accuracies(results).png())
    return files.write(readme, new)


def load(reports: Path) -> list[Result]:
    """Return the results under a folder: the floor first, then the steps by name; what is beside a step stands on another page."""
    paths = [path for path in sorted((reports / "results").glob("*.json")) if path.stem not in BESIDE.keys() - {FLOOR}]
    return [result.read(path) for path in sorted(paths, key=lambda path: path.stem != FLOOR)]


def smaller(reports: Path) -> list[Result]:
    """Return the results of the nets far below the limit, those that are there, the largest first."""
    paths = [reports / "results" / f"{name}.json" for name in points.POINTS]
    return sorted((result.read(path) for path in paths if path.exists()), key=lambda one: -one.n_parameters)


def text(results: Sequence[Result], pages: Collection[str], small: Sequence[Result] = ()) -> str:
    """Return the text of the index; `pages` names the pages that can be linked to, `small` are the nets far below the limit."""
    moves = won(results)
    drawn = [figures.steps(results, near_target(results))] if results else []
    if moves:
        drawn.append(plots.differences(moves))
        drawn[-1].caption += f" {beside_the_picture(results)}"
    values = {
        "answer": answer(results),
        "rows": rows(results),
        "beside": BESIDE,
        "small": small,
        "pages": pages,
        "drawn": [(number, figure.in_page(number), figure.caption) for number, figure in enumerate(drawn, 1)],
        "site": site.of({"index": "Overview"}, "index"),
        "headline": HEADLINE,
        "n_seeds": max((len(result.runs) for result in results), default=0),
        "seconds": next((formatting.seconds(min(result.seconds)) for result in results if result.step == HEADLINE), ""),
        "facts": ["From the files in results/", page.BYLINE],
    }
    return site.finish(page.render("index.html.j2", FOLDER, **values), "")


def near_target(results: Sequence[Result]) -> list[Result]:
    """Return the results whose mean is at or above the target, or the best one: between these, chance decides."""
    near = [result for result in results if result.verdict is not None and result.verdict.accuracy != "below"]
    return near or [max(results, key=lambda result: result.summary.final_mean)]


def won(results: Sequence[Result]) -> dict[str, Difference]:
    """Return what each step wins over the one it changes; the first, which wins most by far, is left out."""
    return {each.step: each.difference for each in results if each.difference}


def beside_the_picture(results: Sequence[Result]) -> str:
    """Return what the picture of the differences leaves out, and which of its steps are compared with the same one."""
    found, said = {one.step: one for one in results}, []
    first = next((one for one in results if one.step in steps.STEPS and not one.difference), None)
    if first and FLOOR in found:
        much = formatting.change(formatting.IMAGES, first.summary.final_mean - found[FLOOR].summary.final_mean)
        said.append(f"{first.title} is not drawn: its difference from {found[FLOOR].title.lower()} is {much}.")
    for before in found:
        after = [one.title for one in results if one.difference and steps.get(one.step).before == before]
        if len(after) > 1:
            said.append(f"{formatting.listed(after)} are compared with {found[before].title}.")
    return " ".join(said)


def rows(results: Sequence[Result]) -> list[tuple[Result, dict]]:
    """Return every result with the cells of its row: its change from the step before (the first step's from the floor), and what it won."""
    found, floor = {result.step: result for result in results}, next((result for result in results if result.step == FLOOR), None)
    cells = [result_tables.row(now, found.get(steps.get(now.step).before, floor if now is not floor else None)) for now in results]
    return [
        (now, {"Change": row.pop("Change"), "Won, images of 10,000": _won(now), **row}) for now, row in zip(results, cells, strict=True)
    ]


def _won(now: Result) -> Shown:
    """Return the effect of a step with its interval, and the outcome of the claim that it is more accurate where there is one."""
    claim = more_accurate(now)
    effect = claim.effect if claim else now.difference and now.difference.effect
    if effect is None:
        return phrase("")
    outcome = badge(claim.outcome) if claim else phrase("")
    text = f"{formatting.change(formatting.IMAGES, effect.value)} ({formatting.change(formatting.IMAGES, *effect.interval)}) ".replace(
        " images", ""
    )
    return Shown(f"{text}{outcome.html}", f"{text}{outcome.text}")


def more_accurate(now: Result) -> Claim | None:
    """Return a step's claim that it is more accurate than the one it changes; None where it makes none, or has nothing to compare."""
    found = (each for each in now.claims if each.claim.startswith("It is more accurate") and each.effect)
    return next(found, None) if now.step in steps.STEPS else None


def block(results: Sequence[Result]) -> str:
    """Return README's generated table: the image, the rows, what the columns mean."""
    about = {"image": IMAGE, "alt": plots.accuracies(results).alt} if results else {}
    return page.render("readme.md.j2", FOLDER, rows=rows(results), beside=BESIDE, **about)


def answer(results: Sequence[Result]) -> tuple[str, str]:
    """Return the result of the series in one sentence, and what the exercise asks for and whether that is reached."""
    found = {one.step: one for one in results}
    if not {FLOOR, HEADLINE} <= found.keys():
        return "There are no results of the whole series yet.", ""
    floor, top = found[FLOOR], found[HEADLINE]
    summary, percent, count = top.summary, formatting.percent, formatting.count
    times = (1 - floor.summary.final_mean) / (1 - summary.final_mean)
    target, interval = recipe.MIN_ACCURACY, formatting.against(summary.interval, recipe.MIN_ACCURACY)
    first = (
        f"A convolutional net of {count(top.n_parameters)} parameters, trained for {count(top.epochs)} epochs, classifies "
        f"{percent(summary.final_mean)} of MNIST's test images correctly: {times:.0f} times fewer errors than softmax regression, a linear "
        f"layer of {count(floor.n_parameters)} parameters, which classifies {percent(floor.summary.final_mean)}."
    )
    asked = (
        f"The exercise asks for at least {percent(target)} in each of the last {count(recipe.HELD_EPOCHS)} epochs, with fewer than "
        f"{count(recipe.MAX_PARAMETERS)} parameters and at most {count(recipe.MAX_EPOCHS)} epochs."
    )
    here = "is below that"
    if top.verdict.accuracy != "below":
        held = f"in each of them; so are {formatting.of(summary.n_held, summary.n_seeds)} single seeds"
        here = f"is at or above that {held if top.verdict.held == 'held' else 'after the last, but not in each of them'}"
    sure = {"significantly above": ", all of it above the target", "at or above": ": for other writers it is not certain", "below": ""}
    second = (
        f"{asked} On these images the mean of {formatting.counted(summary.n_seeds, 'seed')} {here}. The {result_tables.LEVEL} interval "
        f"of the mean after the last epoch, for other seeds and other writers, is {interval}{sure[top.verdict.accuracy]}. {worked(results)}"
    ).strip()
    return first, second


def worked(results: Sequence[Result]) -> str:
    """Return which steps made the net more accurate, by their claims that they do, and which may or may not have."""
    outcomes: dict[str, list[str]] = {}
    for one in results:
        if claim := more_accurate(one):
            outcomes.setdefault(claim.outcome, []).append(WORDS.get(one.step, one.title.lower()))
    said = {"supported": "What worked: {}.", "refuted": "What made it worse: {}.", "inconclusive": "Inconclusive: {}."}
    return " ".join(words.format(formatting.listed(outcomes[outcome])) for outcome, words in said.items() if outcome in outcomes)


def replaced(readme: str, content: str, name: str = "README.md", topic: str = "results") -> str:
    """Return a text with what stands between the two marks of a topic replaced; raise ResultError where it has not one of each."""
    begin, end = f"<!-- {topic}:begin -->", f"<!-- {topic}:end -->"
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise ResultError(f"{name} must hold {begin!r} once and after it {end!r} once; the generated text goes between them.")
    before, _, rest = readme.partition(begin)
    return f"{before}{begin}\n{content}{end}{rest.partition(end)[2]}"
