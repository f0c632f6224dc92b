"""Which data a model was trained and is scored on: told by the images' content, not by the names of folders.

A run keeps a ``Manifest``, a line for each image, by which it notices changed data when it goes on. Its model
file keeps the short form, ``DataIdentity``: six bytes an image (or twelve, where copies have a name too),
enough to know its own held-out images again wherever they lie, and to refuse those that it was trained on.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from segnet.base.errors import SegnetError

ID_BYTES = 6  # that one of a million new images has an id of a million others: 0.4 %
SPLITS = ("train", "val", "test")
_UNLABELED, _BEFORE = "unlabeled", "before"


def image_id(content: bytes) -> bytes:
    """Return the short id of what identifies an image: its bytes, or a digest of them."""
    return hashlib.sha256(content).digest()[:ID_BYTES]


@dataclass(frozen=True)
class ImageRecord:
    """One image of a split as a run knows it."""

    name: str
    ids: tuple[bytes, ...]
    """Of its content, and of whatever else tells that a copy is the same photograph."""
    fingerprint: bytes
    """Changes with the pixels of the image or its mask, or with what the mask's values mean."""

    def to_plain(self) -> list[str]:
        """Return name, fingerprint and ids as JSON holds them."""
        return [self.name, self.fingerprint.hex(), *(each.hex() for each in self.ids)]

    @classmethod
    def from_plain(cls, plain: Sequence[str]) -> ImageRecord:
        """Return what ``to_plain`` gave."""
        name, fingerprint, *ids = plain
        return cls(name, tuple(bytes.fromhex(each) for each in ids), bytes.fromhex(fingerprint))


@dataclass(frozen=True)
class Manifest:
    """The data of a run, image by image: ``data.json`` of a run folder."""

    name: str
    options: Mapping[str, Any]
    """The ``DataOptions``, with paths that hold from any working directory."""
    classes: tuple[str, ...]
    """Their names in the order of their ids."""
    splits: Mapping[str, tuple[ImageRecord, ...]]
    """Every split of ``SPLITS`` in the order of training; ``train`` ends with extra images."""
    unlabeled: tuple[ImageRecord, ...] = ()
    """Images without masks that are trained on too; their fingerprints are of the image alone."""
    before: frozenset[bytes] = frozenset()
    """Ids of the other images that the model to start from had been trained on."""

    @property
    def _all(self) -> dict[str, tuple[ImageRecord, ...]]:
        more = {_UNLABELED: self.unlabeled} if self.unlabeled else {}
        return {**self.splits, **more}

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON holds."""
        splits = {name: [record.to_plain() for record in records] for name, records in self._all.items()}
        return {
            "name": self.name,
            "options": dict(self.options),
            "classes": list(self.classes),
            "splits": splits,
        } | _packed_under(_BEFORE, self.before)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Manifest:
        """Return what ``to_plain`` gave."""
        splits = {
            split: tuple(ImageRecord.from_plain(entry) for entry in plain["splits"][split])
            for split in SPLITS
        }
        unlabeled = tuple(ImageRecord.from_plain(entry) for entry in plain["splits"].get(_UNLABELED, ()))
        before = _unpacked(plain.get(_BEFORE, ""))
        return cls(plain["name"], plain["options"], tuple(plain["classes"]), splits, unlabeled, before)

    def changes(self, now: Manifest) -> str:
        """Say in words how data differs from this, "" where it is the same image for image."""
        lines = []
        if self.classes != now.classes:
            lines.append(f"the classes were {', '.join(self.classes)}, are {', '.join(now.classes)}")
        for split in (*SPLITS, _UNLABELED):
            before, after = self._all.get(split, ()), now._all.get(split, ())
            if before == after:
                continue
            old, new = {each.name: each for each in before}, {each.name: each for each in after}
            kinds = {
                "missing": [name for name in old if name not in new],
                "new": [name for name in new if name not in old],
                "changed": [name for name in old if name in new and old[name] != new[name]],
            }
            found = [
                f"{len(names)} {kind} ({names[0]}{', ..' * (len(names) > 1)})"
                for kind, names in kinds.items()
                if names
            ]
            lines.append(
                f"{split} had {len(before)} images, of which now {' and '.join(found) or 'reordered'}"
            )
        return "; ".join(lines)


@dataclass(frozen=True)
class SplitIdentity:
    """One split in short: how many images, which, and a digest of them with their masks."""

    count: int
    digest: str
    ids: frozenset[bytes]


class NotWholeError(SegnetError):
    """Not all of a model's own split is there, or a mask of it has changed."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}; bring it back as it was, or add --split unseen to score all that the model never saw"
        )
        self.what = what


@dataclass(frozen=True)
class DataIdentity:
    """What a model file says of its data: the options without paths, and every split in short."""

    name: str
    options: Mapping[str, Any]
    splits: Mapping[str, SplitIdentity]
    unlabeled: frozenset[bytes] = frozenset()
    """Ids of the images that were trained on without masks."""
    before: frozenset[bytes] = frozenset()
    """Ids of the other images that the model it started from had been trained on."""

    @classmethod
    def of(cls, manifest: Manifest, paths: Iterable[str]) -> DataIdentity:
        """Shorten a manifest; ``paths`` are the options that would tell strangers of this machine."""
        options = {name: value for name, value in manifest.options.items() if name not in paths}
        splits = {
            name: SplitIdentity(len(records), digest(records), _ids_of(records))
            for name, records in manifest.splits.items()
        }
        return cls(manifest.name, options, splits, _ids_of(manifest.unlabeled), manifest.before)

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON holds: ids as one text in base64, sorted."""
        splits = {
            name: {
                "images": split.count,
                "digest": split.digest,
                "ids": _packed(split.ids),
            }
            for name, split in self.splits.items()
        }
        plain = {"name": self.name, "options": dict(self.options), "splits": splits}
        return plain | _packed_under(_UNLABELED, self.unlabeled) | _packed_under(_BEFORE, self.before)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> DataIdentity:
        """Return what ``to_plain`` gave."""
        splits = {}
        for name in SPLITS:
            entry = plain["splits"][name]
            splits[name] = SplitIdentity(int(entry["images"]), str(entry["digest"]), _unpacked(entry["ids"]))
        unlabeled, before = (_unpacked(plain.get(name, "")) for name in (_UNLABELED, _BEFORE))
        return cls(str(plain["name"]), dict(plain["options"]), splits, unlabeled, before)

    @property
    def held_out(self) -> str:
        """The split that this model is reported on: test, or val where there is no test."""
        return "test" if self.splits["test"].count else "val"

    def knows(self, records: Iterable[ImageRecord]) -> bool:
        """Say whether any of these images, by its content, is among the model's own."""
        known = frozenset().union(*(split.ids for split in self.splits.values()))
        return any(record.ids[0] in known for record in records)

    def own(self, split: str, records: Sequence[ImageRecord], places: Sequence[str]) -> list[int]:
        """Return where among these images the model's own split is.

        Args:
            split: of the model's own.
            records: the images that are there.
            places: the split in which each of them is there; a copy in another one doesn't count.

        Raises:
            NotWholeError: not all of it is there, or a mask of it has changed; says how many images.
            SegnetError: the model's data has no such split.
        """
        wanted = self.splits[split]
        if not wanted.count:
            filled = ", ".join(name for name in SPLITS if self.splits[name].count)
            raise SegnetError(f"the model's data has no {split} split; there is {filled}")
        found = [place for place, record in enumerate(records) if record.ids[0] in wanted.ids]
        here = [place for place in found if places[place] == split]
        once = list({records[place].fingerprint: place for place in reversed(found)}.values())[::-1]
        exact = [chosen for chosen in (here, found, once) if len(chosen) == wanted.count]
        # the others are with copies that weren't there in training, or without some that were
        for chosen in (*exact, here, once):
            if digest([records[each] for each in chosen]) == wanted.digest:
                return sorted(chosen)
        missing = f"the model's own {split} split has {wanted.count} images, of which {len(found)} are here"
        changed = (
            f"masks of the model's own {split} split ({wanted.count} images) have changed since it was "
            "trained, or what their values mean"
        )
        raise NotWholeError(missing if len(found) < wanted.count else changed)

    @cached_property
    def trained(self) -> frozenset[bytes]:
        """Ids of all images that the model was trained on, in this run and before it."""
        return self.splits["train"].ids | self.unlabeled | self.before

    def trained_on(self, records: Iterable[ImageRecord]) -> int:
        """Return how many of these images the model was trained on, under whatever name."""
        return sum(not self.trained.isdisjoint(record.ids) for record in records)


def _ids_of(records: Iterable[ImageRecord]) -> frozenset[bytes]:
    return frozenset(each for record in records for each in record.ids)


def _packed_under(name: str, ids: frozenset[bytes]) -> dict[str, str]:
    return {name: _packed(ids)} if ids else {}


def _packed(ids: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(ids))).decode("ascii")


def _unpacked(text: str) -> frozenset[bytes]:
    packed = base64.b64decode(text, validate=True)
    return frozenset(packed[i : i + ID_BYTES] for i in range(0, len(packed), ID_BYTES))


def digest(records: Iterable[ImageRecord]) -> str:
    """Return one digest of images with their masks, whatever their order."""
    return hashlib.sha256(b"".join(sorted({record.fingerprint for record in records}))).hexdigest()[:32]
