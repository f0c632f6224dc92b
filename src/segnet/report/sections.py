"""What more than one page shows: definitions, tables, confusions, calibration and the worst images."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from segnet.base.colours import BLUE, VERMILION, Colour
from segnet.base.files import write_text
from segnet.report.plots import draw_calibration
from segnet.runs.image_scores import ImageScores, Worst
from segnet.runs.remarks import confusions, largest_confusions, tolerance_text
from segnet.runs.scores import Scores, score_text, share_text
from segnet.scoring.mistakes import SURE, UNSURE

METRICS: dict[str, tuple[str, str]] = {
    "foreground_iou": (
        "foreground IoU",
        "of two classes, TP / (TP + FP + FN) of the one that is looked for; the more probable class wins",
    ),
    "foreground_iou_at_threshold": (
        "foreground IoU at the threshold",
        "the same where a pixel is foreground above a probability that was chosen on validation images",
    ),
    "threshold": (
        "threshold",
        "that probability, which the model file keeps: segnet predict --threshold chosen",
    ),
    "mean_iou": (
        "mean IoU",
        "the mean over classes of TP / (TP + FP + FN), from one confusion matrix of all the split's pixels; "
        "absent classes are left out",
    ),
    "pixel_accuracy": (
        "pixel accuracy",
        "the share of labelled pixels with the right class; high for any model where one class is most of it",
    ),
    "mean_class_accuracy": (
        "mean class accuracy",
        "the mean over classes of the share of their pixels that was found: the SegNet paper's class average",
    ),
    "mean_iou_without_border": (
        "mean IoU without border",
        "mean IoU of the other classes: what is left of the differences where only objects matter",
    ),
    "boundary_f1": (
        "boundary F1",
        "how well outlines meet within 0.75 % of the image's diagonal, as the SegNet paper scores them: the "
        "mean over an image's classes, then over images",
    ),
    "band_accuracy": (
        "accuracy at edges",
        "pixel accuracy at most 3 pixels from a true edge, at the size that was scored",
    ),
    "calibration_error": (
        "calibration error",
        "how far the model's confidence is from its accuracy, in 15 bins of confidence; lower is better",
    ),
    "mean_dice": (
        "mean Dice",
        "the mean over classes of 2 TP / (2 TP + FP + FN); absent classes are left out",
    ),
    "loss": (
        "cross-entropy",
        "the mean over labelled pixels of the split's images as they are, whatever training made small; "
        "lower is better",
    ),
    "article_iou": (
        "article IoU",
        "the article's metric: IoU of all classes together, without the pixels whose truth is background. "
        "It can overstate: pet predicted on background costs nothing",
    ),
    "article_custom_iou": (
        "article custom IoU",
        "the article's metric: soft intersection over soft union, all classes and pixels together, mean over "
        "images. It can overstate: the many easy pixels outweigh the few hard ones",
    ),
}
"""Name and definition of each score, in the order in which the report shows them."""

CLASS_METRICS: dict[str, tuple[str, str]] = {
    "iou": ("IoU", "TP / (TP + FP + FN)"),
    "dice": ("Dice", "2 TP / (2 TP + FP + FN)"),
    "precision": ("precision", "of the pixels given this class, the share that is right"),
    "recall": ("recall", "of the class's pixels, the share that is found"),
    "boundary_f1": ("boundary F1", "how well its outlines meet, mean over images"),
}

_MANY = 12  # classes: of more the worst and the best are shown, and the confusions of most pixels
_WIDEST_CONFUSION = 32
_EXTREMES, _CONFUSIONS = 5, 12


def write_page(path: Path, template: str, view: Mapping[str, Any]) -> None:
    """Write one HTML file from a template of this folder and what it shows."""
    write_text(path, _templates().get_template(template).render(view))


@cache
def _templates() -> jinja2.Environment:
    """Return the templates, each of which is compiled once in a process."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("segnet.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def encode(content: bytes, media_type: str) -> str:
    """Return content as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def as_png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def headline(scores: Scores, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and value of the scores that people look at first: of two classes, the foreground's."""
    first = ("foreground_iou",) if scores.foreground_iou is not None else ()
    at = {"boundary_f1": f" at {tolerance}"} if (tolerance := tolerance_text([scores])) else {}
    return [(METRICS[key][0] + at.get(key, ""), score_text(getattr(scores, key))) for key in (*first, *keys)]


def metric_table(splits: Sequence[Scores]) -> list[tuple[str, str, list[str]]]:
    """Rows of name, definition and a value for each split: ours first, then any that has no definition."""
    if not splits:
        return []
    values = {key: [getattr(scores, key) for scores in splits] for key in METRICS}
    here = {"boundary_f1": f": here {tolerance}"} if (tolerance := tolerance_text(splits)) else {}
    rows = [
        (METRICS[key][0], METRICS[key][1] + here.get(key, ""), [score_text(value) for value in found])
        for key, found in values.items()
        if found != [None] * len(found)
    ]
    others = dict.fromkeys(name for scores in splits for name in scores.others)
    return rows + [
        (key.replace("_", " "), "", [score_text(scores.others.get(key)) for scores in splits])
        for key in others
    ]


def class_metrics(splits: Sequence[Scores]) -> dict[str, tuple[str, str]]:
    """Return those of ``CLASS_METRICS`` that were taken, with how far outlines may be off in these splits.

    Outlines are scored once, as a run ends, so a run that is stopped has no boundary F1 of any class.
    """
    if all(entry.boundary_f1 is None for scores in splits for entry in scores.per_class.values()):
        return {key: shown for key, shown in CLASS_METRICS.items() if key != "boundary_f1"}
    tolerance = tolerance_text(splits)
    name, definition = CLASS_METRICS["boundary_f1"]
    return CLASS_METRICS | ({"boundary_f1": (f"{name} at {tolerance}", definition)} if tolerance else {})


def class_section(
    title: str, scores: Scores, colours: Mapping[str, Colour], metrics: Iterable[str]
) -> dict[str, Any]:
    """Return what the section of a split's classes shows; of many the worst and best, and all in a list."""
    rows, total = class_table(scores, colours, metrics), sum(map(sum, scores.confusion))
    # of many classes those of most pixels, since a rare class may be wrong altogether
    largest = confusions(scores)[:_CONFUSIONS] if len(rows) > _MANY else largest_confusions(scores)
    confused = {
        "name": title,
        "confusion": confusion_table(scores),
        "confused": [
            (each.truth, each.predicted, share_text(each.share), share_text(each.pixels / total))
            for each in largest
        ],
    }
    if len(rows) <= _MANY:
        return {"title": title, "rows": rows, "all": []} | confused
    scored = [row for row in rows if scores.per_class[row["name"]].iou is not None]
    ranked = sorted(scored, key=lambda row: scores.per_class[row["name"]].iou or 0.0)
    extremes = ranked if len(ranked) <= 2 * _EXTREMES else ranked[:_EXTREMES] + ranked[-_EXTREMES:]
    return {
        "title": f"{title}: the worst and the best of {len(rows)} classes",
        "rows": extremes,
        "all": rows,
    } | confused


def class_table(
    scores: Scores, colours: Mapping[str, Colour], metrics: Iterable[str]
) -> list[dict[str, Any]]:
    """Rows of a class, its colour and those of its scores that ``class_metrics`` names."""
    metrics = tuple(metrics)
    return [
        {
            "name": name,
            "colour": css_colour(colours[name]),
            "share": share_text(entry.share),
            "iou_percent": f"{100 * (entry.iou or 0):.1f}",
            "scores": [score_text(getattr(entry, key)) for key in metrics],
        }
        for name, entry in scores.classes()
    ]


def confusion_table(scores: Scores) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows of a class and, for each class, how much of it was given that: per cent, and the cell's style.

    Of a class that no mask has there are no cells; of too many classes there is no table.
    """
    if not 2 <= len(scores.per_class) == len(scores.confusion) <= _WIDEST_CONFUSION:
        return []
    rows = []
    for truth, (name, row) in enumerate(zip(scores.per_class, scores.confusion, strict=True)):
        total = sum(row)
        shares = [count / total for count in row] if total else []
        rows.append((name, [_confusion_cell(share, right=i == truth) for i, share in enumerate(shares)]))
    return rows


def _confusion_cell(share: float, *, right: bool) -> tuple[str, str]:
    """Return a share in per cent, and a background: what is right in one colour, what is wrong in another."""
    colour = BLUE if right else VERMILION
    return f"{100 * share:.1f}", "background: rgb({} {} {} / {:.2f})".format(*colour, 0.6 * share)


def css_colour(colour: Colour) -> str:
    """Return a colour as style sheets have it."""
    return "rgb({}, {}, {})".format(*colour)


_RANKED = {
    "iou": "those with the lowest mean IoU of their own",
    "loss": "those with the highest cross-entropy",
    "boundary": "those with the lowest boundary F1",
    "confident-disagreement": "those where the model is wrong though sure at most pixels",
}


def worst_section(
    images: Sequence[tuple[ImageScores, bytes]], by: Worst, of: str, colours: Mapping[str, Colour]
) -> dict[str, Any]:
    """Return what the section of the worst images shows: scores and a PNG of each, worst first, and a legend.

    Args:
        images: with their pictures.
        by: what ranks them.
        of: of which images they are the worst.
        colours: the colour of each class.
    """
    intro = (
        f"Of {of}, {_RANKED[by]}, worst first. From left to right: input, truth, prediction, and where they "
        "differ, from yellow where the model was unsure to red where it was sure. Where it is red and the "
        "photograph agrees with the model, the truth may be what is wrong."
    )
    shown = [(image.image, encode(picture, "image/png"), describe_image(image)) for image, picture in images]
    legend = [(name, css_colour(colour)) for name, colour in colours.items()]
    return {
        "intro": intro,
        "images": shown,
        "legend": [*legend, ("ignored in truth", css_colour((255, 255, 255)))],
        "unsure_to_sure": f"linear-gradient(to right, {css_colour(UNSURE)}, {css_colour(SURE)})",
    }


def describe_image(image: ImageScores) -> str:
    """Return an image's scores in one line for people."""
    return (
        f"mean IoU {score_text(image.mean_iou)}, pixel accuracy {score_text(image.pixel_accuracy)}, "
        f"boundary F1 {score_text(image.boundary_f1)}, cross-entropy {score_text(image.loss)}, "
        f"wrong though sure {share_text(image.confident_disagreement)}"
    )


def calibration_chart(scores: Scores) -> tuple[str, str] | None:
    """Return the plot of calibration and the expected calibration error; None where it wasn't measured."""
    if not scores.calibration:
        return None
    svg = draw_calibration(scores.calibration)
    return encode(svg.encode(), "image/svg+xml"), score_text(scores.calibration_error)
