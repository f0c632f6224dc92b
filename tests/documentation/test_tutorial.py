"""The tutorial: the sections of the article, commands that find what earlier ones left, small pictures."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["part-1.md", "part-2.md", "part-3.md", "part-4.md", "own-photo.md"]
TEXT = {name: (DOCS / "tutorial" / name).read_text(encoding="utf-8") for name in PAGES}

SECTIONS = {
    "part-1.md": (
        "Introduction to image segmentation",
        "Choice of dataset",
        "Choosing the right model for your task",
        "Choosing the right loss function",
        "Custom IoU loss",
        "Data augmentation",
        "Evaluating model performance",
        "Shortcomings of pixel accuracy as a performance metric",
        "Model size and inference latency",
    ),
    "part-2.md": (
        "Article outline",
        "Conv-BatchNorm-ReLU and Max Pooling/Unpooling",
        "Convolution",
        "Batch Normalization",
        "ReLU",
        "Pooling",
        "SegNet: A CNN-based model",
        "Observations of model learning",
        "Conclusion",
        "Further reading",
    ),
    "part-3.md": (
        "Introduction",
        "Depthwise Separable Convolutions",
        "Size and cost comparison for regular and depthwise separable convolutions",
        "SegNet with depthwise separable convolutions",
        "Accuracy comparison",
        "Comparison with a UNet model",
        "Conclusion",
    ),
    "part-4.md": (
        "The Transformer architecture",
        "Communication in Transformers: Attention",
        "Computation in Transformers: Multi-Layer Perceptron",
        "Vision Transformers",
        "Building intuition for tensor dimensions in vision transformers",
        "Passage of tensors through the Vision Transformer",
        "The Vision Transformer in action",
        "SegFormer: Semantic Segmentation with Transformers",
        "Conclusion",
    ),
}


@pytest.mark.parametrize("page", SECTIONS)
def test_every_section_of_the_article_is_a_heading_in_its_order(page):
    headings = re.findall(r"^#{2,3} (.*)$", TEXT[page], re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS[page]] == [*SECTIONS[page]]


def test_every_run_that_a_command_names_was_trained_before():
    text = " ".join("\n".join(TEXT.values()).split())
    named = [(match.start(), match[0]) for match in re.finditer(r"runs/[\w-]+", text)]
    trained = {}
    for match in re.finditer(r"segnet train[^`#]*?--out (runs/[\w-]+)", text):
        trained.setdefault(match[1], match.start())
    assert [name for place, name in named if place < trained.get(name, len(text))] == []


def test_a_picture_that_a_command_reads_was_saved_before():
    assert TEXT["part-1.md"].count('.save("pet.png")') == 1


def test_the_pictures_are_small():
    sizes = {file.name: file.stat().st_size for file in (DOCS / "images/tutorial").iterdir()}
    assert [name for name, size in sizes.items() if size > 150_000] == []
    assert sum(sizes.values()) < 1_500_000
