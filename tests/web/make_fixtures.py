"""What the tests of web/ compare with: model files, pictures, and what PyTorch and Pillow make of them.

    python tests/web/make_fixtures.py FOLDER

For each network in NETWORKS it writes NAME.segnet and, for each picture, NAME-N.bin with values and
NAME-N.json with what they are; pictures.json tells the pictures, resized.json what Pillow resized. The truth
of a map is what the module of its name gave: the exporter's own idea of the network has no part in it.

For those in EXPLAINED, NAME-norms.json has their batch norms as the explainer gets them, and NAME-bare the
logits without them. scores.json has masks with the scores that segnet gives them. The pages are tried with
pet-N.png, whose true mask in the network's size is pet-N-mask.png, and nano-of-pets-norms.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import segnet
from segnet.base.classes import ClassTable
from segnet.core.blocks import DecoderStage, Encoded, SeparableBNReLU
from segnet.data.store.fit_to_size import RESIZE
from segnet.data.synthetic import SyntheticSample
from segnet.export.layers import network_of
from segnet.export.web.explain_page import norm_text
from segnet.export.web.web_file import about, to_bytes
from segnet.inference.description import Description
from segnet.inference.opening import find_model
from segnet.inference.runtimes.with_torch import TorchRuntime
from segnet.inference.segmenter import Segmenter
from segnet.models.compact import SeparableUnit
from segnet.models.efficient import DecoderLevel
from segnet.models.encoders.efficientnet_lite import InvertedResidual
from segnet.models.folding import fold_batch_norms
from segnet.scoring.boundary import boundary_f1

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "nano": ("segnet-nano", {}),
    "lite": ("segnet-lite", {}),
    "plus": ("segnet-plus", {"width": 1.5}),
    "positions-alone": ("segnet-nano", {"features": False, "stride": 1}),
    "article": ("segnet", {"stages": 2}),
    "separable": ("segnet-dsc", {"stages": 3, "ordinary_stages": 1}),
    "basic": ("segnet-basic", {"channels": 16, "dropout": 0.5}),
    "vgg16": ("segnet-vgg16", {"width": 8}),
    "efficient": ("segnet-efficient", {"width": 0.5}),
    "efficient-lite2": ("segnet-efficient", {"width": 0.25, "encoder": "efficientnet-lite2"}),
    "grey": ("segnet-nano", {"in_channels": 1}),
}
EXPLAINED = ("nano", "efficient", "basic")
SIZES = ((64, 64), (33, 47), (64, 96), (47, 33), (16, 16), (17, 64), (80, 48), (50, 50), (31, 90), (128, 128))
"""Height and width of the pictures; every map is kept of the first two, of the others the logits."""
ALL_MAPS = 2

CLASSES = ClassTable(("pet", "background", "border"), ((200, 60, 40), (0, 0, 0), (250, 220, 90)))
RESIZED = (
    (37, 53, 16, 24),
    (16, 24, 37, 53),
    (100, 30, 33, 90),
    (90, 30, 33, 20),
    (64, 64, 64, 20),
    (20, 64, 41, 64),
)
"""Height and width before and after."""
PHOTOS = ((128, 128), (300, 200), (97, 230), (40, 60))
"""Height and width."""


def main(folder: Path) -> None:
    """Write everything to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture(number, size) for number, size in enumerate(SIZES)]
    for number, pixels in enumerate(pictures):
        pixels.tofile(folder / f"picture-{number}.bin")
    write(folder / "pictures.json", [{"height": height, "width": width} for height, width in SIZES])
    for name, (model, options) in NETWORKS.items():
        write_network(name, build(model, options), model, pictures, folder)
    for name in EXPLAINED:
        write_norms(name, folder, pictures[0])
    write_scores(folder)
    write_resized(folder)
    write_photos(folder)
    for number in range(3):
        drawn, mask = SyntheticSample(0, 2 * number).read()
        drawn.save(folder / f"pet-{number}.png")
        Image.fromarray(mask).resize((128, 128), Image.Resampling.NEAREST).save(
            folder / f"pet-{number}-mask.png"
        )


def build(model: str, options: dict[str, Any]) -> nn.Module:
    """Return a network whose weights float16 holds exactly, with its batch norms folded in.

    A batch norm's factor is a power of two, so that folding it rounds nothing.
    """
    torch.manual_seed(0)
    network = segnet.create_model(model, **options).eval()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.half().float()
        elif isinstance(module, nn.BatchNorm2d):
            shape = module.weight.shape
            module.running_var = torch.full(shape, 1 - module.eps)
            module.running_mean = 0.2 * torch.randn(shape, generator=generator)
            module.weight.data = 2.0 ** torch.randint(0, 2, shape, generator=generator)
            module.bias.data = 0.2 * torch.randn(shape, generator=generator)
    return network


def picture(seed: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a drawn pet with noise, ``(height, width, 3)``.

    Where a picture is flat, values that are equal but for rounding lie in one window of a pool, and rounding
    decides which is the maximum.
    """
    drawn = SyntheticSample(seed, 0).read()[0].convert("RGB").resize(size[::-1])
    noise = np.random.default_rng(seed).integers(-20, 21, (*size, 3))
    return np.clip(np.asarray(drawn) + noise, 0, 255).astype(np.uint8)


def write_network(
    name: str, network: nn.Module, model: str, pictures: list[npt.NDArray[np.uint8]], folder: Path
) -> None:
    """Write a network's file and what PyTorch makes of the pictures."""
    options = NETWORKS[name][1]
    description = Description(model, CLASSES, (64, 64), "area", options=options)
    exported = network_of(network, description)
    said = about(Segmenter(TorchRuntime(network), description))
    (folder / f"{name}.segnet").write_bytes(to_bytes(said, exported, "float16"))
    truth = [truth_of(layer.op, layer.name, network) for layer in exported.layers]
    for number, pixels in enumerate(pictures):
        if min(pixels.shape[:2]) < network.minimum_size:
            continue
        image = torch.from_numpy(pixels[..., : options.get("in_channels", 3)]).permute(2, 0, 1)[None]
        with torch.inference_mode(), recorded(network) as found:
            logits = network(image.float() / 255)
        maps = {tensor: found[key] for tensor, key in enumerate(truth, start=1) if key in found}
        codes = {
            tensor: found[f"codes of {key}"]
            for tensor, key in enumerate(truth, start=1)
            if key.startswith("pool ")
        }
        write_maps(folder / f"{name}-{number}", logits, maps if number < ALL_MAPS else {}, codes)


def truth_of(op: str, name: str, network: nn.Module) -> str:
    """Return which of the recorded maps a layer of the model file should give."""
    if op != "conv" and op != "depthwise":
        return f"{op} {name}"
    before, _, last = name.rpartition(".")
    unit = network.get_submodule(before)
    if isinstance(unit, SeparableUnit) and last == "depthwise":
        return f"{before}.depthwise_norm"
    ends = {SeparableUnit: "pointwise", SeparableBNReLU: "1", InvertedResidual: "project"}
    return before if ends.get(type(unit)) == last else name


@contextmanager
def recorded(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keep what each module gives, and for pools and un-pools what their stages hand on."""
    maps: dict[str, Tensor] = {}
    hooks = []

    def watch(name: str, module: nn.Module) -> None:
        def keep(_: nn.Module, __: Any, found: Any) -> None:
            if isinstance(found, Encoded):
                maps[f"pool {name}"] = found.pooled.clone()
                maps[f"codes of pool {name}"] = stock_codes(maps[f"{name}.units"])
            elif isinstance(found, Tensor):
                maps[name] = found.clone()

        hooks.append(module.register_forward_hook(keep))
        if isinstance(module, DecoderStage | DecoderLevel):
            op = "unpool" if isinstance(module, DecoderStage) else "upsample"

            def keep_taken(_: nn.Module, given: tuple[Tensor]) -> None:
                maps[f"{op} {name}"] = given[0].clone()

            hooks.append(module.units.register_forward_pre_hook(keep_taken))

    for name, module in network.named_modules():
        watch(name, module)
    yield maps
    for hook in hooks:
        hook.remove()


def stock_codes(x: Tensor) -> Tensor:
    """Return where each maximum of ``(1, C, H, W)`` lies in its window, 0 to 3, by stock PyTorch."""
    width = x.shape[-1]
    places = F.max_pool2d(x, 2, return_indices=True)[1]
    return 2 * (places // width % 2) + places % width % 2


def write_maps(path: Path, logits: Tensor, maps: dict[int, Tensor], codes: dict[int, Tensor]) -> None:
    """Write logits, maps and codes ``(1, C, H, W)`` height by width by channels, one behind the other."""
    rows, values = [], []
    keyed = {"logits": logits, **maps, **{f"codes {tensor}": each for tensor, each in codes.items()}}
    for key, each in keyed.items():
        ordered = each[0].permute(1, 2, 0).contiguous().float()
        rows.append({"key": str(key), "shape": list(ordered.shape)})
        values.append(ordered.numpy().tobytes())
    path.with_name(f"{path.name}.bin").write_bytes(b"".join(values))
    write(path.with_name(f"{path.name}.json"), rows)


def write_norms(name: str, folder: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a network's batch norms, and its logits of a picture where none is left but the image's."""
    model, options = NETWORKS[name]
    network = build(model, options)
    exported = network_of(network, Description(model, CLASSES, (64, 64), "area", options=options))
    write(folder / f"{name}-norms.json", [norm_text(each) for each in exported.weights])
    for module in [*network.modules()]:
        for part, child in [*module.named_children()]:
            if isinstance(child, nn.BatchNorm2d) and part != "normalise":
                setattr(module, part, nn.Identity())
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    with torch.inference_mode():
        write_maps(folder / f"{name}-bare", network(image.float() / 255), {}, {})


def write_scores(folder: Path) -> None:
    """Write true masks, others, and the mean IoU and mean boundary F1 between them."""
    generator = np.random.default_rng(0)
    rows, values = [], []
    for number, (height, width) in enumerate(((128, 128), (96, 160), (250, 180), (33, 47))):
        mask = Image.fromarray(SyntheticSample(0, number).read()[1])
        truth = np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
        other = np.roll(truth, (number - 1, 2 - number), (0, 1)).copy()
        other[generator.random(other.shape) < 0.02] = number % 3
        pair = [torch.tensor(each)[None].long() for each in (other, truth)]
        confusion = torch.zeros(3, 3).index_put_((pair[1][0], pair[0][0]), torch.ones(()), accumulate=True)
        both = confusion.diagonal()
        ious = both / (confusion.sum(0) + confusion.sum(1) - both)
        outlines = boundary_f1(*pair, 3)
        rows.append({"size": [height, width], "iou": float(ious.mean()), "f1": float(outlines.nanmean())})
        values += [truth.tobytes(), other.tobytes()]
    write(folder / "scores.json", rows)
    (folder / "scores.bin").write_bytes(b"".join(values))


def write_resized(folder: Path) -> None:
    """Write random pixels and what Pillow makes of them in other sizes."""
    generator = np.random.default_rng(0)
    rows, values = [], []
    for height, width, new_height, new_width in RESIZED:
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for method, chosen in RESIZE.items():
            found = np.asarray(Image.fromarray(pixels).resize((new_width, new_height), chosen))
            rows.append({"method": method, "from": [height, width], "to": [new_height, new_width]})
            values += [pixels.tobytes(), found.tobytes()]
    write(folder / "resized.json", rows)
    (folder / "resized.bin").write_bytes(b"".join(values))


def write_photos(folder: Path) -> None:
    """Write drawn photos and the masks that pets-nano gives them, squeezed and with its proportions kept."""
    nano = segnet.load(str(find_model("pets-nano", exported=False)))
    rows, values = [], []
    for keep_aspect in (False, True):
        description = replace(nano.description, keep_aspect=keep_aspect)
        segmenter = Segmenter(TorchRuntime(rounded(nano.model)), description)
        network = network_of(nano.model, description)
        name = "kept.segnet" if keep_aspect else "squeezed.segnet"
        (folder / name).write_bytes(to_bytes(about(segmenter), network, "float16"))
        write(folder / "nano-of-pets-norms.json", [norm_text(each) for each in network.weights])
        for height, width in PHOTOS:
            pixels = picture(height, (height, width))
            mask = segmenter.predict(pixels).mask
            rows.append({"model": name, "height": height, "width": width})
            values += [pixels.tobytes(), mask.tobytes()]
    write(folder / "photos.json", rows)
    (folder / "photos.bin").write_bytes(b"".join(values))


def rounded(model: nn.Module) -> nn.Module:
    """Return a copy that computes with the weights that float16 keeps of the folded ones."""
    folded = fold_batch_norms(model)
    for conv in folded.modules():
        if isinstance(conv, nn.Conv2d):
            conv.weight.data = conv.weight.data.half().float()
    return folded


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
