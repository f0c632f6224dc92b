"""What the site has besides the pages of this folder; a hook of mkdocs.

Pages that lie elsewhere in the repository are read from there, so each text exists once, and links that lead
out of this folder or into it are turned. ``<!-- segnet: models -->`` and its like become what the code says.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from functools import cache, partial
from pathlib import Path
from pydoc import locate
from typing import TYPE_CHECKING, Any

from griffe import Attribute, Docstring, ExprCall, ExprSubscript, Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from rich.table import Table

    from segnet.report.models import ModelFacts

ROOT = Path(__file__).parents[1]
PLACES = {  # in the repository: in the site
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE.txt",
    "benchmarks/README.md": "benchmarks/index.md",
    **{
        f"benchmarks/results/{file.name}": f"benchmarks/{file.name}"
        for file in ROOT.glob("benchmarks/results/*.csv")
    },
}
SOURCES = {place: source for source, place in PLACES.items()}
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<file>[^)\s#:]+)(?=[)#])")
GENERATED = re.compile(r"^<!-- segnet: (?P<what>[a-z]+) -->$", re.MULTILINE)
SIZE = (128, 128)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie elsewhere."""
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "live/index.html", content=explainer()))
    return files


@cache
def explainer() -> str:
    """Return the page that shows the bundled pets-nano at work."""
    from segnet.export.web.explain_page import explain_page
    from segnet.export.web.learning_data import demo_learning
    from segnet.inference.opening import load

    segmenter = load("pets-nano", device="cpu", runtime="torch")
    return explain_page(segmenter, demo_learning(), tutorial="../tutorial/")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links, and put in what is generated."""
    place = page.file.src_uri
    parts = FENCE.split(markdown)
    parts = [
        part if part.startswith("```") else LINK.sub(lambda link: turned(link, place), part) for part in parts
    ]
    return GENERATED.sub(lambda marker: "\n".join(GENERATE[marker["what"]]()), "".join(parts))


def turned(link: re.Match[str], place: str) -> str:
    """Return the link as it must be in the site; as it is where the site lacks what it leads to."""
    folder = posixpath.dirname(SOURCES.get(place, f"docs/{place}"))
    target = posixpath.normpath(posixpath.join(folder, link["file"]))
    there = target.removeprefix("docs/") if target.startswith("docs/") else PLACES.get(target)
    return link[0] if there is None else f"]({posixpath.relpath(there, posixpath.dirname(place) or '.')}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> list[str]:
    """Return the lines of a Markdown table; ``align`` has ``r`` for a column of numbers."""
    rules = ["--:" if side == "r" else "---" for side in align.ljust(len(head))]
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, rules, *rows)
    ]


def printed(what: Table, code: int = 1) -> list[str]:
    """Return a table that a command prints, its first ``code`` columns as code."""
    columns = what.columns
    cells = zip(*(column.cells for column in columns), strict=True)
    rows = [
        [f"`{cell}`" if place < code and cell else str(cell) for place, cell in enumerate(row)]
        for row in cells
    ]
    align = "".join("r" if column.justify == "right" else "l" for column in columns)
    return table([str(column.header) for column in columns], rows, align)


@cache
def facts_of(name: str) -> ModelFacts:
    """Return what a model costs with one image of 128x128."""
    from segnet.report.models import describe_model

    return describe_model(name, size=SIZE)


def models() -> list[str]:
    """What every model costs, as ``segnet models`` counts it."""
    from segnet.models import MODELS
    from segnet.report.models import costs_table

    return printed(costs_table([facts_of(name) for name in MODELS], SIZE))


def figures() -> list[str]:
    """What every model was published with, and what it reaches here."""
    from segnet.models import MODELS
    from segnet.report.models import FIGURES

    rows = [
        (f"`{name}`", known.published, known.source, known.ours)
        for name, known in FIGURES.items()
        if name in MODELS
    ]
    return table(("model", "published", "by", "ours"), rows)


def architectures() -> Iterable[str]:
    """For every model what its module says, and its layers."""
    from segnet.models import MODELS
    from segnet.report.models import layers_table

    told: dict[object, str] = {}
    for name, model in MODELS.items():
        built = model.func if isinstance(model, partial) else model
        first = told.setdefault(built, name)
        yield from ("", f"## {name}", "")
        if first == name:
            more = "show_root_toc_entry: false, merge_init_into_class: true"
            shown = f"members: [{built.__qualname__}], heading_level: 3, show_root_heading: false, {more}"
            yield from (f"::: {built.__module__}", f"    options: {{{shown}}}")
        else:
            yield f"[{first}](#{first}) in another width."
        yield from ("", f'??? note "The layers of {name}, one image of {SIZE[0]}x{SIZE[1]}"', "")
        yield from (f"    {line}" for line in printed(layers_table(facts_of(name), SIZE)))


def metrics() -> list[str]:
    """Every score with its definition, as a report has it."""
    from segnet.report.sections import METRICS

    return table(("score", "what it is"), METRICS.values())


def recipes() -> list[str]:
    """Every setting that a recipe decides, in each recipe."""
    from segnet.base.settings import option, value_in_words
    from segnet.training.configuration.config import TrainConfig

    of_recipes = [entry for entry in fields(TrainConfig) if "recipes" in entry.metadata]
    settings = {entry.name: entry.metadata["recipes"] for entry in of_recipes}
    names = {recipe for values in settings.values() for recipe in values}
    columns = sorted(names, key=lambda name: (" " in name, name))
    rows = [
        [
            f"`{option(name)}`",
            *(value_in_words(values.get(recipe, values[recipe.split()[0]])) for recipe in columns),
        ]
        for name, values in settings.items()
    ]
    titles = [" of ".join(recipe.split()) for recipe in columns]
    return table(["option", *titles], rows, "l" + "r" * len(columns))


def live() -> list[str]:
    """Where the site shows a network at work."""
    return ["[The page with `pets-nano`](../live/index.html) is part of this site."]


GENERATE = {
    "live": live,
    "models": models,
    "figures": figures,
    "architectures": architectures,
    "metrics": metrics,
    "recipes": recipes,
}


class Plain(Extension):
    """Docstrings and types as a reader wants them."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Where ``::`` announces a block leave one colon, or none; Markdown takes the indentation."""
        if obj.docstring:
            text = re.sub(r"^::\n", "", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"::(?=\n\n {4})", ":", text)

    def on_attribute(self, *, attr: Attribute, **_: Any) -> None:
        """Show the type alone of an ``Annotated`` one, and the default and the help of a ``setting``."""
        note = attr.annotation
        if isinstance(note, ExprSubscript) and str(note.left) == "Annotated":
            attr.annotation = note.slice.elements[0]
        if isinstance(attr.value, ExprCall) and str(attr.value.function) == "setting" and attr.parent:
            (entry,) = (each for each in fields(locate(attr.parent.path)) if each.name == attr.name)
            attr.docstring = Docstring(entry.metadata["help"], parent=attr)
            attr.value = None if entry.default in (None, MISSING) else repr(entry.default)
