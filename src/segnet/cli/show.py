"""The articles' figures, each drawn from live code: ``show`` and a command for each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home, write_text
from segnet.base.settings import Whole
from segnet.cli.app import (
    App,
    Flag,
    OptionalPath,
    OptionalText,
    OptionalWhole,
    app,
    given,
    print_all,
    require_drawable,
)

if TYPE_CHECKING:
    from rich.table import Table

Figure = TypeVar("Figure")

show = App(name="show", help="Draw the articles' figures from live code.")
app.command(show)


def _show(figure: Figure, draw: Callable[[Figure, Path], None], out: Path | None, *said: Table | str) -> int:
    """Print what is said of a figure, and draw it where a file is named."""
    print_all(*said)
    if out is not None:
        draw(figure, expand_home(out))
        print(f"drawn in {out}")
    return 0


@show.command(name="activations")
def show_activations(
    model: str = "pets-lite",
    /,
    *images: str,
    layer: OptionalText = None,
    out: OptionalPath = None,
) -> int:
    """What batch norm and ReLU do to a layer's maps in a trained model: before, between and after.

    Batch norm is as in prediction, with the statistics that training left. Some units add their input to what
    batch norm gives.

    Args:
        model: a run folder, a .safetensors file or a bundled name.
        images: what it is run on, maps are those of the first; by default 8 drawn pets.
        layer: which unit of convolution and batch norm, such as encoder.1.units.0; by default the first.
        out: also draw it, as .png or .svg.
    """
    from segnet.figures.activations_figure import draw_activations, step_by_step, steps_table
    from segnet.figures.subjects import open_model

    require_drawable(out)
    shown = open_model(model, trained=True)
    figure = step_by_step(shown, shown.pictures(images, 8, print), layer)
    return _show(figure, draw_activations, out, steps_table(figure))


@show.command(name="architecture")
def show_architecture(model: str = "segnet", /, *, out: OptionalPath = None) -> int:
    """A model as it is built: stages, sizes, channels, and what passes from encoder to decoder (Figure 6).

    Read off the model itself: its own modules, a run on images of its size, autograd's graph of that run.

    Args:
        model: the name of a model, a run folder, a .safetensors file or a bundled name.
        out: also draw it, as .png or .svg.
    """
    from segnet.figures.architecture import describe_architecture, draw_architecture, parts_table
    from segnet.figures.subjects import open_model
    from segnet.models.inspection.structure import describe_structure

    require_drawable(out)
    shown = open_model(model)
    structure = describe_structure(shown.model, shown.size, shown.channels)
    said = parts_table(structure, shown.size), describe_architecture(shown.name, structure)
    return _show(structure, partial(draw_architecture, shown.name, shown.size), out, *said)


@show.command(name="convolution")
def show_convolution(
    image: OptionalText = None,
    /,
    *,
    kernel: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    stride: Whole = 1,
    padding: OptionalWhole = None,
    out: OptionalPath = None,
) -> int:
    """What edge, blur, sharpen and emboss kernels make of an image, one window worked out (Part 2, Figure 2).

    Computed on grey values. Maps are shown from 0 to 255, cut off beyond, the edges' without their sign.

    Args:
        image: any image file, made 256 px at most on its longer side; by default a drawn pet.
        kernel: one kernel alone: edge, blur, sharpen or emboss; or 9 (25, 49) numbers of your own row by row,
            such as 1,0,-1,2,0,-2,1,0,-1.
        stride: pixels from one window to the next.
        padding: zeros around the image on each side, fewer than the kernel has rows; by default half of them,
            so that maps keep the image's size.
        out: also draw it, as .png or .svg.
    """
    from segnet.figures.convolution import (
        KERNELS,
        convolution_example,
        describe_convolution,
        draw_convolution,
        parse_kernel,
    )
    from segnet.figures.subjects import open_picture

    require_drawable(out)
    kernels = tuple(KERNELS.values()) if kernel is None else (parse_kernel(kernel),)
    name, picture = open_picture(image)
    example = convolution_example(name, picture, kernels, stride=stride, padding=padding)
    return _show(example, draw_convolution, out, describe_convolution(example))


@show.command(name="filters")
def show_filters(
    model: str = "pets-lite",
    /,
    *images: str,
    layer: OptionalText = None,
    channel: OptionalWhole = None,
    out: OptionalPath = None,
) -> int:
    """What a trained model looks for and finds: first kernels, feature maps, most exciting places (Figure 3).

    Each map is shown from its own smallest to its own largest values; of many, those that vary most.

    Args:
        model: a run folder, a .safetensors file or a bundled name.
        images: feature maps are those of the first, the places are sought in all; by default 32 drawn pets.
        layer: which layer is shown beside the first; by default the deepest maps. segnet models NAME lists
            them, and the stages above them have names too, such as encoder.2.
        channel: show the most exciting places of this channel alone, counted from 0.
        out: also draw it, as .png or .svg.
    """
    from segnet.figures.filters import describe_filters, draw_filters, layers_table, look_inside
    from segnet.figures.subjects import open_model

    require_drawable(out)
    shown = open_model(model, trained=True)
    figure = look_inside(shown, shown.pictures(images, 32, print), layer, channel)
    return _show(figure, draw_filters, out, layers_table(figure), describe_filters(figure))


@show.command(name="learning")
def show_learning(
    run: OptionalText = None,
    /,
    *,
    image: OptionalText = None,
    epochs: OptionalWhole = None,
    out: OptionalPath = None,
) -> int:
    """What a network makes of one image, epoch after epoch, with the mean IoU it had by then.

    Drawn from the predictions that a run leaves at each epoch. Without a run, a small segnet-lite is trained
    on the spot, on 120 drawn pets of 64x64, for 8 epochs; nothing of it is kept.

    Args:
        run: a run folder, of a run that may still go on.
        image: which of the validation images that it draws: a name, or a number counted from 1.
        epochs: how many epochs are shown, evenly spread; by default 6, and of a GIF 24.
        out: also draw it, as .gif, or side by side as .png or .svg.
    """
    from segnet.figures.learning import IN_GIF, IN_STRIP, draw_learning, learning_of_run, learning_table

    require_drawable(out, ".gif")
    if epochs is not None and epochs < 2:
        raise SegnetError(f"--epochs must be 2 or more, got {epochs}")
    most = epochs or (IN_GIF if out is not None and out.suffix == ".gif" else IN_STRIP)
    if run is not None:
        figure = learning_of_run(run, image, most)
    else:
        from segnet.training.in_memory import train_and_watch

        figure = train_and_watch(image, most)
    return _show(figure, draw_learning, out, figure.title, learning_table(figure))


@show.command(name="receptive-field")
def show_receptive_field(
    model: str = "pets-lite",
    /,
    *images: str,
    out: OptionalPath = None,
) -> int:
    """What a model sees: computed layer by layer, and measured by gradients on a trained one (Figure 4).

    Measured is the mean absolute gradient of the centre's winning logit, over colour channels and images.

    Args:
        model: a run folder, a .safetensors file or a bundled name; or the name of an untrained model, of
            which nothing is measured.
        images: what it is measured on; by default 16 drawn pets.
        out: also draw it, as .png or .svg.
    """
    from segnet.figures.receptive_field import describe_fields, draw_fields, fields_table, measure_fields
    from segnet.figures.subjects import open_model

    require_drawable(out)
    shown = open_model(model)
    figure = measure_fields(shown, shown.pictures(images, 16, print))
    return _show(figure, draw_fields, out, fields_table(figure), describe_fields(figure))


@show.command(name="network")
def show_network(model: str = "pets-nano", /, *, out: OptionalPath = None) -> int:
    """A whole network at work, as one HTML file: every map of a photo, and the sum behind each value.

    The file opens in a browser, offline. It shows drawn pets, and photos of your own. Of a run it also shows
    how it learnt, with up to four of its validation images; of another model how a small one learnt.

    Args:
        model: a run folder, a .safetensors file or a bundled name.
        out: the file to write, .html; by default network.html.
    """
    from segnet.export.web.explain_page import explain_page
    from segnet.export.web.learning_data import demo_learning, learning_of
    from segnet.figures.learning import names_of_pictures
    from segnet.figures.subjects import open_trained

    out = expand_home(out or "network.html")
    if out.suffix != ".html":
        raise SegnetError(f"--out {out}: the page is an HTML file; name one that ends in .html")
    segmenter = open_trained(model)[1]
    if names_of_pictures(model):
        learning = learning_of(model, f"The run {expand_home(model).name}, on validation images of its own.")
    else:
        learning = demo_learning()
    page = explain_page(segmenter, learning)
    write_text(out, page)
    print(f"written to {out} ({len(page.encode()) / 1000:.0f} kB); open it in a browser")
    return 0


@show.command(name="pooling")
def show_pooling(
    subject: OptionalText = None,
    /,
    *,
    without: Annotated[str | None, Parameter(name="--break", show_default=False)] = None,
    retrain: Flag = False,
    data: OptionalText = None,
    data_root: OptionalPath = None,
    seed: Whole = 0,
    out: OptionalPath = None,
) -> int:
    """What pooling keeps: step by step (Part 2, Figure 5), in an image, or as an experiment with a model.

    Without an argument, numbers: a map of digits, its 2x2 maxima, their codes, the bytes, the un-pooled map.

    With an image: the codes of its grey values, and how far from their places maxima come out by the indices
    and without them: in pixels, from where a restored map is largest in a 2x2 window to where the image was.

    With --break: what a trained model scores when it un-pools without its indices, on images that it was not
    trained on: mean IoU, boundary F1, and the share of pixels near true edges that are wrong.

    Args:
        subject: an image file, or pet for a drawn pet; with --break the model: a run folder, a .safetensors
            file or a bundled name, by default pets-lite.
        without: first-corner, random (any pixel of the window), no-indices (all four pixels) or bilinear;
            several with commas; or all.
        retrain: with --break, train a small segnet-lite in each of these ways on 120 drawn pets, from the
            same weights, and compare those: some 15 seconds each.
        data: with --break, what to score on, as segnet eval takes it; by default synthetic, the drawn pets,
            or the model's own data where it has other classes.
        data_root: with --break, oxford-pets in the official layout.
        seed: which map of random digits; with --retrain, of weights and of the order of images.
        out: also draw it, as .png or .svg.
    """
    require_drawable(out)
    if without is not None:
        return _show_without_indices(without, subject, data, data_root, seed if retrain else None, out)
    if retrain or data is not None or data_root is not None:
        raise SegnetError(
            "--retrain, --data and --data-root are for --break: segnet show pooling --break all"
        )
    from segnet.figures import pooling_figures as figures
    from segnet.figures.subjects import open_picture

    if subject is None:
        example = figures.pooling_example(seed)
        return _show(example, figures.draw_pooling, out, figures.describe_pooling(example))
    picture = figures.pooled_picture(*open_picture(subject))
    return _show(picture, figures.draw_pooled_picture, out, figures.errors_table(picture), figures.NOTE)


def _show_without_indices(
    text: str, model: str | None, data: str | None, data_root: Path | None, seed: int | None, out: Path | None
) -> int:
    """Compare ways to un-pool; with a seed, of models that are trained for it."""
    from segnet.figures.unpooling_figure import draw_ways, score_swapped, ways_table
    from segnet.models.inspection.unpooling import parse_ways

    ways = parse_ways(text)
    if seed is None:
        figure = score_swapped(model or "pets-lite", ways, given(data=data, data_root=data_root))
    else:
        if model is not None or data is not None or data_root is not None:
            raise SegnetError(
                "--retrain trains models of its own on drawn pets; it takes no model and no data"
            )
        from segnet.training.in_memory import compare_trained

        figure = compare_trained(ways, seed)
    return _show(figure, draw_ways, out, ways_table(figure), fill(figure.note, 100))


@show.command(name="separable")
def show_separable() -> int:
    """What depthwise-separable convolutions save: Part 3's cost table, counted now, with its slip."""
    from segnet.figures.separable import NOTE, separable_costs, separable_table

    print_all(separable_table(separable_costs()), NOTE)
    return 0
