"""Encoders of the package timm, with the weights that its hub has for them: ``pip install 'segnet[timm]'``.

A name is timm's own, such as ``mobilenetv4_conv_small`` or ``edgenext_small.usi_in1k``; behind an ``@`` may
stand the revision of the hub's repository that the weights are taken from. Any network serves that gives maps
of images of any size, each half as high and wide as the one before.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from segnet.base.errors import SegnetError, did_you_mean, first_line
from segnet.base.extras import require_package
from segnet.base.files import expand_home
from segnet.models.encoders.weights_file import PublishedWeights, read_weights, require_finite

TIMM = "timm:"
"""The prefix of an encoder's name that stands for a network of timm."""
_REDUCTIONS = ((2, 4, 8, 16, 32), (4, 8, 16, 32))
_TRIED_PX = 96  # a multiple of all reductions; no network is made for this size alone


class HubWeights(PublishedWeights):
    """The weights that the Hugging Face hub has for a network of timm.

    Args:
        config: what timm knows of them, its ``pretrained_cfg``.
        revision: a branch, tag or commit of the hub's repository; None for its newest.
    """

    missing = ""

    def __init__(self, config: dict[str, Any], revision: str | None) -> None:
        self.repository = str(config["hf_hub_id"])
        self.file = config.get("hf_hub_filename") or "model.safetensors"
        self.licence = config.get("license") or "licence unknown"
        self.revision = revision

    @property
    def notice(self) -> str:
        """Licence and source, with the commit that the weights are of."""
        commit = self._found.parent.name
        return f"encoder from huggingface.co/{self.repository}, commit {commit}, {self.licence}"

    def find(self) -> Path:
        """Return the file in the hub's cache, fetched where it isn't there."""
        return self._found

    @cached_property
    def _found(self) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.repository, self.file, revision=self.revision))
        except Exception as error:  # of the hub's own, of the connection's, of the disk
            why = first_line(error).rstrip(".")
            raise SegnetError(
                f"can't fetch {self.file} of huggingface.co/{self.repository}: {why}; give a file that you "
                "have, --encoder-weights FILE, or start from nothing, --encoder-weights none"
            ) from error


class NoWeights(PublishedWeights):
    """Of a network that timm has no weights for."""

    missing = "timm has no weights of this network"
    notice = ""

    def find(self) -> None:
        """There are none."""


def weights_of(config: dict[str, Any], revision: str | None) -> PublishedWeights:
    """Return where a network's weights are, by timm's ``pretrained_cfg``."""
    return HubWeights(config, revision) if config.get("hf_hub_id") else NoWeights()


class TimmEncoder(nn.Module):
    """The maps of a network of timm, with fresh weights.

    Args:
        name: of the network, as timm has it; perhaps with ``@`` and a revision of its weights.
        in_channels: channels of the image.

    Raises:
        SegnetError: timm isn't there, or doesn't know the name; or its maps aren't what a decoder can take.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, in_channels: int = 3) -> None:
        super().__init__()
        self.name, _, revision = name.partition("@")
        _require_known(self.name)
        self.network = self._built(in_channels)
        config: dict[str, Any] = self.network.pretrained_cfg
        self.channels = tuple(self.network.feature_info.channels())
        self.reductions = tuple(self.network.feature_info.reduction())
        """The image's size in those of the maps."""
        self.published = weights_of(config, revision or None)
        for statistic in ("mean", "std"):
            of_colours = config[statistic]
            values = torch.tensor([of_colours[channel % len(of_colours)] for channel in range(in_channels)])
            self.register_buffer(statistic, values.view(1, -1, 1, 1), persistent=False)
        self._require_maps(in_channels)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the maps of images ``(N, C, H, W)`` in [0, 1], the largest first."""
        return list(self.network((image - self.mean) / self.std))

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Start from a file of the whole network's weights, as timm's hub has them.

        Other channels than three get sums of the first weights, as timm adapts them.

        Raises:
            SegnetError: no such file, one that is damaged, or weights of another network.
        """
        path, advice = expand_home(path), f"give the weights that timm has for {self.name}"
        given = read_weights(path, self.name, advice)
        with torch.device("meta"):
            whole = _timm().create_model(self.name)
        last = whole.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{each}." for each in ([last] if isinstance(last, str) else last))
        for key, ours in whole.state_dict().items():
            if key.startswith(heads):
                continue
            if key not in given:
                raise SegnetError(f"{path} isn't {self.name}: it has no {key}; {advice}")
            if given[key].shape != ours.shape:
                shapes = f"{tuple(given[key].shape)}, not {tuple(ours.shape)}"
                raise SegnetError(f"{path} isn't {self.name}: {key} is {shapes}; {advice}")
            if ours.is_floating_point():
                require_finite(path, key, given[key])
        loaded = self._built(
            self.mean.shape[1], pretrained=True, pretrained_cfg_overlay={"state_dict": given}
        )
        self.network.load_state_dict(loaded.state_dict())

    def _built(self, in_channels: int, **options: Any) -> Any:
        try:
            return _timm().create_model(self.name, features_only=True, in_chans=in_channels, **options)
        except Exception as error:  # a network that has no maps to give raises about anything
            raise self._unfit(first_line(error).rstrip(".")) from error

    def _require_maps(self, in_channels: int) -> None:
        """Raise SegnetError where maps aren't halved one by one, or have another order of dimensions."""
        if self.reductions not in _REDUCTIONS:
            raise self._unfit(f"its maps have 1/{', 1/'.join(map(str, self.reductions))} of the image's size")
        image = torch.zeros(1, in_channels, _TRIED_PX, _TRIED_PX, device=self.mean.device)
        was_training = self.training
        try:
            with torch.no_grad():
                maps = self.eval().maps(image)
        except Exception as error:  # one that is made for images of one size
            raise self._unfit(first_line(error).rstrip(".")) from error
        self.train(was_training)
        for given, channels, reduction in zip(maps, self.channels, self.reductions, strict=True):
            side = _TRIED_PX // reduction
            if given.shape != (1, channels, side, side):
                raise self._unfit(
                    f"a map has shape {tuple(given.shape)}, not (1, {channels}, {side}, {side})"
                )

    def _unfit(self, why: str) -> SegnetError:
        return SegnetError(
            f"timm's {self.name} can't be an encoder: {why}; take a convolutional network whose maps are "
            "halved one by one, such as timm:mobilenetv4_conv_small"
        )


def _timm() -> ModuleType:
    require_package("an encoder of timm's", "timm")
    try:
        import timm
    except Exception as error:  # torchvision, which it imports, must match PyTorch
        raise SegnetError(
            f"timm is installed and can't be imported: {first_line(error)}; install the torchvision that "
            f"belongs to PyTorch {torch.__version__}"
        ) from error
    return timm


def _require_known(name: str) -> None:
    timm, (network, _, tag) = _timm(), name.partition(".")
    if not timm.is_model(network):
        near = did_you_mean(network, timm.list_models())
        raise SegnetError(f"timm has no network {network!r}{near if near.startswith('; did') else ''}")
    if tag and name not in (known := timm.list_pretrained(f"{network}.*")):
        raise SegnetError(f"timm has no weights {name!r}{did_you_mean(name, known)}")
