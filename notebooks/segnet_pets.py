# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A SegNet for pets, from data to the learning GIF
#
# This notebook walks the path of the article series "Efficient Image Segmentation Using PyTorch", Part 2,
# on the package `segnet`: look at the data, build the network, train it, watch it learn, and see what its
# scores say and what they hide. It can be read alone. You should know a little Python; what a convolution
# is, the [tutorial](../docs/tutorial/part-2.md) shows.
#
# **How long it takes.** As it is, on pets that the package draws: about three minutes on two CPU cores,
# nearly all of it in one cell. With a GPU it takes the article's 20 epochs in place of 3.

# %% [markdown]
# ## Install
#
# `segnet` isn't on a package index. If it isn't installed here yet, the next cell installs it from a
# checkout of its repository. This notebook lies in the checkout's folder `notebooks`, so that is one folder
# up; in Colab, upload or clone the checkout first and name its folder.

# %%
import importlib.util
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path("..")  # in Colab such as Path("/content/segnet")

if importlib.util.find_spec("segnet") is None:
    if not (CHECKOUT / "pyproject.toml").exists():
        raise SystemExit(f"{CHECKOUT.resolve()} is no checkout of segnet; set CHECKOUT to one")
    install = [sys.executable, "-m", "pip", "install", f"{CHECKOUT.resolve()}[train]"]
    subprocess.run(install, check=True)

# %%
import base64

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, display
from IPython.display import Image as ShownFile
from PIL import Image
from rich.console import Console
from torch.nn import functional as F

import segnet
from segnet.core.pooling import max_pool_2x2, max_unpool_2x2
from segnet.data.augment import Augmentation
from segnet.runs.records import read_run

# %% [markdown]
# ## What to run
#
# `DATA` is what is learnt from. `synthetic` is drawn by the package: nothing is downloaded, and the same
# seed draws the same pixels everywhere. `oxford-pets` is the article's, the Oxford-IIIT Pet dataset; it is
# downloaded once (811 MB) and checked. Everything below works with either.
#
# `SETTINGS` is what differs from the article's recipe. `ARTICLE` changes nothing: SegNet at 128x128 pixels,
# Adam with a learning rate of 0.001 that is multiplied by 0.7 every 7 epochs, 20 epochs of batches of 64.
# `QUICK` has fewer epochs, and smaller batches so that they still hold many steps.

# %% tags=["parameters"]
DATA = "synthetic"  # or "oxford-pets"
ARTICLE = {}
QUICK = {"epochs": 3, "batch_size": 16}
SETTINGS = ARTICLE if torch.cuda.is_available() else QUICK

# %% [markdown]
# ## The problem
#
# *Classification* says what is in an image. *Semantic segmentation* says it of every pixel: the answer is
# an image too, the **mask**, that holds a class number where the image holds a colour. Here are four images
# of the training split, their masks, and both on top of each other.

# %%
config = segnet.TrainConfig(data=DATA, model="segnet", **SETTINGS)
dataset = segnet.load_dataset(config)
classes = dataset.classes
print(len(dataset.train), "training images,", len(dataset.val), "validation images")
print("validation images are", dataset.val_is)


def show_rows(rows, names):
    """Show rows of pictures, each row with its name."""
    height, width = len(rows), len(rows[0])
    side = min(2.2, 12 / width)
    figure, axes = plt.subplots(height, width, figsize=(side * width, side * height), squeeze=False)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            axes[row, column].imshow(picture)
            axes[row, column].set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(names[row])
    figure.tight_layout()
    plt.show()


def at_128(picture):
    return picture.resize((128, 128), Image.Resampling.NEAREST)


images, masks, painted, blended = [], [], [], []
for sample in dataset.train[:4]:
    image, mask = sample.read()
    images.append(at_128(image))
    masks.append(np.array(at_128(Image.fromarray(mask))))
    painted.append(Image.fromarray(classes.paint(masks[-1])))
    blended.append(Image.blend(images[-1], painted[-1], 0.5))
show_rows([images, painted, blended], ["image", "mask", "both"])
print("classes:", *(f"{number} {name}" for number, name in enumerate(classes.names)))

# %% [markdown]
# The three classes are those of Oxford-IIIT Pet: `pet`, `background`, and `border`, a thin ring around the
# pet where even the people who drew the masks weren't sure.
#
# Images and masks are resized to 128x128 by *nearest*: each new pixel is one of the old ones. For a mask
# nothing else will do. Averaging class 0 (pet) and class 2 (border) would give 1, the background, which is
# wrong. The article resizes the images by nearest too.

# %% [markdown]
# ## How much of each class?
#
# Count before you train: it says which scores can be had for nothing.

# %%
counts = np.zeros(len(classes), np.int64)
for sample in dataset.train[:200]:
    _, mask = sample.read()
    counts += np.bincount(mask[mask != classes.ignore_index], minlength=len(classes))
shares = counts / counts.sum()
plt.figure(figsize=(6, 1.8))
plt.barh(classes.names, shares, color=np.array(classes.colours) / 255, edgecolor="grey")
plt.gca().invert_yaxis()
plt.xlabel("share of the pixels, first 200 training images")
plt.show()
print(f"calling everything {classes.names[shares.argmax()]} is right for {shares.max():.1%} of the pixels")

# %% [markdown]
# That last number is the floor. A network with this pixel accuracy may have learnt nothing at all, which is
# the trap that Part 1 of the series warns of: with 98 % background, "background everywhere" has a pixel
# accuracy of 98 %.
#
# And look at the border: it is a small part of the pixels, so being wrong about all of it costs little.

# %% [markdown]
# ## Augmentation
#
# Some hundreds of images are few for a network of 15 million parameters: it could learn them by heart.
# **Augmentation** shows it another version of each image in every epoch. The article flips images left to
# right half of the time, *together with their masks*, and changes the contrast by up to 30 %, *of the image
# alone*.
#
# Below: one image and mask eight times.

# %%
augment = Augmentation(flip=0.5, contrast=0.3)
batch = torch.from_numpy(np.array(images[0])).movedim(-1, 0).expand(8, -1, -1, -1)
mask_batch = torch.from_numpy(masks[0]).expand(8, -1, -1)
changed, moved = augment(batch, mask_batch, (128, 128), seed=0)
changed = [picture.movedim(0, -1).numpy() for picture in changed]
moved = [classes.paint(mask.numpy()) for mask in moved]
show_rows([changed, moved], ["image", "mask"])

# %% [markdown]
# Validation images are never augmented here, so that two epochs, or two models, are scored on the same
# pixels. (The article's notebook augments them too; its scores differ a little each time they are taken.)

# %% [markdown]
# ## The model
#
# SegNet is an **encoder** and a **decoder**. The encoder repeats *convolution, batch normalisation, ReLU*,
# and after each stage halves height and width by max-pooling: the maps get smaller and more in number, and
# each of their values sees more of the image. The decoder goes the same way back, up to one map of the
# image's size for each class: the **logits**. The class with the largest logit wins the pixel.

# %%
network = segnet.create_model("segnet")
print(f"{sum(weights.numel() for weights in network.parameters()):,} parameters")


def print_shape(name):
    def hook(module, inputs, outputs):
        values = outputs[0] if isinstance(outputs, tuple) else outputs
        print(f"{name:10} gives {values.shape[1]:4} maps of {values.shape[2]}x{values.shape[3]}")

    return hook


network.eval()
hooks = [
    stage.register_forward_hook(print_shape(f"{part} {number}"))
    for part in ("encoder", "decoder")
    for number, stage in enumerate(getattr(network, part))
]
with torch.no_grad():
    logits = network(torch.rand(1, 3, 128, 128))
for hook in hooks:
    hook.remove()

# %% [markdown]
# 15,274,892 is the article's 15.27M, to the parameter. What makes it a *SegNet* is what passes from encoder
# to decoder: not maps, as in a U-Net, but only **where each maximum was**. A window of 2x2 has four places,
# so two bits are enough.
#
# Below, one small map: its maxima, and the map un-pooled again. Each maximum is back at its place, and all
# else is zero; the convolutions that follow fill that in.

# %%
digits = [[4, 9, 3, 0], [3, 9, 7, 3], [7, 3, 1, 6], [6, 9, 8, 6]]
small = torch.tensor(digits, dtype=torch.float32)[None, None]
maxima, codes = max_pool_2x2(small)
restored = max_unpool_2x2(maxima, codes, (4, 4))
print("map\n", small[0, 0].int().numpy())
print("maxima\n", maxima[0, 0].int().numpy())
print("un-pooled\n", restored[0, 0].int().numpy())
stock, indices = F.max_pool2d(small, 2, return_indices=True)
print("bytes that say where:", codes.numel(), "here,", end=" ")
print(indices.numel() * indices.element_size(), "in stock PyTorch, which takes 64 bits for two")
assert torch.equal(stock, maxima)  # the same maxima
assert torch.equal(F.max_unpool2d(stock, indices, 2), restored)  # and the same un-pooled map

# %% [markdown]
# ## Loss and scores
#
# The **loss** is what training makes small. The article's is cross-entropy: of each pixel the softmax of
# the three logits gives probabilities, and the loss is −log of the one that the true class got, the mean
# over all pixels. A network that gives all three classes 1/3 has a loss of log 3.

# %%
truth = torch.from_numpy(masks[0]).long()[None]
undecided = torch.zeros(1, 3, 128, 128)
print(f"undecided: {F.cross_entropy(undecided, truth):.4f}, and log 3 is {np.log(3):.4f}")
print(f"untrained: {F.cross_entropy(logits, truth):.4f}")

# %% [markdown]
# **Scores** are what we look at. *Pixel accuracy* is the share of pixels that are right. *IoU* of a class
# is intersection over union: of all pixels that are this class in the truth, in the prediction or in both,
# the share where both say so. The pixels that are rightly *not* this class don't count, so a large
# background can't hide anything.
#
# Take the true mask and shift it four pixels to the side. That is a small mistake, but see who pays for it:

# %%
shifted = np.roll(masks[0], 4, axis=1)
print(f"pixel accuracy {np.mean(shifted == masks[0]):.3f}")
for number, name in enumerate(classes.names):
    in_truth, in_shifted = masks[0] == number, shifted == number
    iou = (in_truth & in_shifted).sum() / (in_truth | in_shifted).sum()
    print(f"IoU of {name:10} {iou:.3f}")

# %% [markdown]
# The thin border loses most. The mean of the three IoUs, the **mean IoU**, gives each class the same say;
# by it the best epoch is picked.

# %% [markdown]
# ## Training
#
# One call. It prints a line for each epoch (the console given here prints plain lines, which suit a
# notebook) and leaves a folder with everything: the best model, scores, previews, the GIF and a report.
# This is the cell that takes minutes.

# %%
run = segnet.train(config, console=Console(force_jupyter=False, force_terminal=False, width=90))

# %% [markdown]
# ## Watch it learn
#
# After each epoch the same 21 validation images are predicted. One after the other, these pictures are the
# GIF. From top to bottom in each band: image, truth, prediction.

# %%
gif = base64.b64encode((run.folder / "learning.gif").read_bytes()).decode()
display(HTML(f'<img width="900" src="data:image/gif;base64,{gif}">'))

# %% [markdown]
# The article saw plausible masks after one epoch, on 58 steps of real images. How is it here? And what is
# still wrong at the end: large areas, or edges?

# %%
epochs = read_run(run.folder).epochs
numbers = [epoch.epoch for epoch in epochs]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3))
left.plot(numbers, [epoch.train_loss for epoch in epochs], "o-", label="training")
left.plot(numbers, [epoch.val.loss for epoch in epochs], "o-", label="validation")
left.set(xlabel="epoch", ylabel="loss", xticks=numbers)
left.legend()
for name in classes.names:
    right.plot(numbers, [epoch.val.per_class[name].iou for epoch in epochs], "o-", label=name)
right.set(xlabel="epoch", ylabel="IoU on validation images", ylim=(0, 1), xticks=numbers)
right.legend()
plt.show()

# %% [markdown]
# Two things to read from such curves. If the validation loss still falls at the end, the network would go
# on learning: take more epochs. If it rises while the training loss falls, the network learns its training
# images by heart.

# %% [markdown]
# ## Scores, and what they hide

# %%
scores = run.val
majority, share = scores.majority
print(f"best epoch {run.best_epoch}, on {scores.scored_on}")
print(f"pixel accuracy {scores.pixel_accuracy:.3f}; {majority} everywhere would have {share:.3f}")
print(f"mean IoU       {scores.mean_iou:.3f}")
print()
print("class          IoU  precision  recall  share of pixels")
for name, found in scores.per_class.items():
    cells = (found.iou, found.precision, found.recall, found.share)
    texts = ["–" if value is None else f"{value:.3f}" for value in cells]
    print(f"{name:11} {texts[0]:>6} {texts[1]:>10} {texts[2]:>7} {texts[3]:>16}")

# %% [markdown]
# Pixel accuracy looks best, since most pixels are easy. The border has the worst IoU: it is thin, so a
# shift by a pixel costs much of it, and in the loss it counts only by its few pixels. That is the article's
# own observation.
#
# Where do the mistakes go? Each row of the confusion matrix is a true class, and says what its pixels were
# called.

# %%
confusion = np.array(scores.confusion, float)
confusion /= np.maximum(confusion.sum(1, keepdims=True), 1)
plt.figure(figsize=(3.6, 3.2))
plt.imshow(confusion, cmap="Blues", vmin=0, vmax=1)
for row, column in np.ndindex(confusion.shape):
    value = confusion[row, column]
    ink = "white" if value > 0.5 else "black"
    plt.text(column, row, f"{value:.0%}", ha="center", va="center", color=ink)
plt.xticks(range(len(classes)), classes.names)
plt.yticks(range(len(classes)), classes.names)
plt.xlabel("predicted")
plt.ylabel("true")
plt.show()

# %% [markdown]
# A mean over all images hides the bad ones. The run folder has pictures of the worst: image, truth,
# prediction, and the wrong pixels, from yellow where the network was unsure to red where it was sure. Look
# at some of these before you believe a score.

# %%
for file in sorted((run.folder / "worst").glob("*.png"))[:3]:
    display(ShownFile(filename=str(file), width=700))

# %% [markdown]
# Three more things that a score hides:
#
# - **Which images.** The best epoch was picked on the validation images, so its score on them is a little
#   optimistic. A test split that nobody looked at before says more.
# - **Chance.** Another seed gives another score. `segnet train --seeds 3` measures how much.
# - **What it was trained on.** Drawn pets say nothing about photographs.

# %% [markdown]
# ## Predict a picture
#
# The best model comes back from the folder. It takes an image of any size and kind; the mask has the
# image's own size.

# %%
segmenter = segnet.load(run.folder)
picture, _ = dataset.val[2].read()
result = segmenter.predict(picture)
confidence = result.probabilities.max(axis=0)
pictures = [picture, classes.paint(result.mask), result.overlay(), confidence]
show_rows([pictures], ["validation image"])
print({name: f"{part:.1%}" for name, part in result.areas().items()})

# %% [markdown]
# The last picture is the probability of the class that won: dark where the network wavers, mostly along
# edges.
#
# Now a photo of your own. `pets-lite` comes with the package; it is smaller than this SegNet and was
# trained on real photographs of cats and dogs. Upload a photo and name it:

# %%
PHOTO = ""  # such as "cat.jpg"

if PHOTO:
    result = segnet.load("pets-lite").predict(PHOTO)
    display(result.overlay())
    print({name: f"{part:.1%}" for name, part in result.areas().items()})

# %% [markdown]
# ## What next
#
# - The article's own data: set `DATA = "oxford-pets"` at the top and run everything again, with a GPU.
# - Part 3 of the series, nearly nine times fewer parameters: `model="segnet-dsc"` in `TrainConfig`. Part 4,
#   a transformer: `model="vit"`.
# - A better start than the article's: `recipe="modern"`, best with `model="segnet-lite"`.
# - Another loss for the border: `loss="focal"`, which the article asks you to try, or `loss="boundary"`.
# - Your own images and masks: `DATA = "my/folder"`, with folders `images` and `masks` in it.
#
# All four parts as commands: the [tutorial](../docs/tutorial/index.md). Every number of the series beside
# ours: [the diary of numbers](../docs/reproduction.md).
