"""``models``: what each model costs, or one of them layer by layer."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console

from segnet.base.errors import SegnetError
from segnet.cli.app import Json, OptionalText, OptionalWhole, app, print_all
from segnet.training.configuration.option_types import ModelOptions, SizeOption


@app.command
def models(
    name: OptionalText = None,
    /,
    *,
    size: SizeOption = (128, 128),
    num_classes: OptionalWhole = None,
    model_options: ModelOptions | None = None,
    json_: Json = False,
) -> int:
    """Compare the models, or show one layer by layer: all counted and measured now, on the model itself.

    Args:
        name: the model to show; without it all of them, as they ship.
        size: pixels of the image, one number or HEIGHTxWIDTH.
        num_classes: of one model, how many classes it tells apart; 3 where this is left out.
        model_options: of one model, its options, such as stages=5; several with commas, or as a JSON object.
        json_: print JSON in place of the table.
    """
    from segnet.report import models as report

    if name is not None:
        facts = report.describe_model(
            name,
            num_classes=3 if num_classes is None else num_classes,
            options=model_options,
            size=size,
        )
        if json_:
            print(json.dumps(asdict(facts)))
        else:
            print_all(report.layers_table(facts, size), report.summary(facts))
        return 0
    if model_options is not None or num_classes is not None:
        raise SegnetError("--num-classes and --model-options are for one model; name it")
    with Console(stderr=True).status("") as status:  # on a terminal alone
        every, refused = report.describe_models(size, lambda each: status.update(f"measuring {each}"))
    if json_:
        print(json.dumps([asdict(facts) for facts in every]))
        return 0
    tables = report.costs_table(every, size), report.figures_table(every)
    print_all(*tables, report.LEGEND, *(f"left out: {mistake}" for mistake in refused))
    return 0
