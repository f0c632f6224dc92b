"""The article in one file: pets, a SegNet and its training, in Python's standard library alone.

This is the complete algorithm of "Efficient Image Segmentation Using PyTorch", Parts 1 and 2: it draws pets,
learns to find them, and prints what it found. Everything else in the package segnet is speed and service.
`python docs/tutorial/microsegnet.py` takes about a minute; a number after it sets the training steps.
"""

import random
import sys
from functools import cache, partial
from itertools import product, zip_longest
from math import dist, exp, log, sqrt
from operator import itemgetter, mul

# Part 1, the data: an image has a colour for each pixel, its mask a class for each pixel.
SIDE = 24  # height and width
PET, BACKGROUND, BORDER = CLASSES = range(3)
# Shapes are (x, y, radius, radius, power): power 2 makes an ellipse, power 1 a diamond with pointed ends.
HEAD_AND_BODY = [(0.0, 0.0, 0.18, 0.16, 2), (0.0, 0.34, 0.20, 0.26, 2)]
CAT_EARS = [(-0.13, -0.15, 0.08, 0.16, 1), (0.13, -0.15, 0.08, 0.16, 1)]
DOG_EARS = [(-0.20, 0.03, 0.06, 0.16, 2), (0.20, 0.03, 0.06, 0.16, 2)]


def inside(shapes, x, y, gap=0.0):
    """Tell whether a point lies in one of the shapes, each grown by a gap."""
    return any((abs(x - a) / (w + gap)) ** p + (abs(y - b) / (h + gap)) ** p < 1 for a, b, w, h, p in shapes)


def draw_pets(rng, count):
    """Return three maps (red, green, blue) and a mask, each with the pixels of all pets in a row."""
    pixels, mask = [], []
    for _ in range(count):
        pet = HEAD_AND_BODY + rng.choice((CAT_EARS, DOG_EARS))
        size, light, lean = SIDE * rng.uniform(0.75, 1.05), rng.uniform(0.4, 1.0), rng.uniform(-0.3, 0.3)
        left, top, horizon = (SIDE * rng.uniform(*span) for span in ((0.4, 0.6), (0.3, 0.4), (0.5, 0.9)))
        coat = light, 0.7 * light, 0.4 * light  # brown
        wall, floor = ([rng.random() for _ in coat] for _ in range(2))
        cushions = [(rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.6), 0.15, 0.15, 2) for _ in range(2)]
        for row, column in product(range(SIDE), repeat=2):
            y = (row - top) / size
            x = (column - left) / size + lean * y
            # A cushion has the colour of the coat, so colour alone doesn't tell what is pet.
            label, colour = BACKGROUND, coat if inside(cushions, x, y) else wall if row < horizon else floor
            if inside(pet, x, y):
                label, colour = PET, [value * (0.7 if row // 2 % 2 else 1.0) for value in coat]  # striped
            elif inside(pet, x, y, gap=1.5 / size):
                label, colour = BORDER, [(a + b) / 2 for a, b in zip(colour, coat)]
            pixels.append([min(max(rng.gauss(value, 0.05), 0.0), 1.0) for value in colour])
            mask.append(label)
    return [*zip(*pixels)], mask


# Part 2, the layers: each returns its output maps, and `back`, which turns their gradient into that of its
# input maps. A map goes into one layer only, so gradients never have to be added up.
class Weights(list):
    """Rows of learnt numbers; the way back through their layer leaves their gradient here."""


def dot_products(rows, columns):
    """Return each row's dot product with each column. The law of cosines: 2 a·b = a² + b² - |a - b|²."""
    length = partial(dist, (0.0,) * len(rows[0]))  # dist is some three times as fast as sum(map(mul, a, b))
    squares, result = [length(column) ** 2 for column in columns], []
    for row in map(tuple, rows):
        own, distances = length(row) ** 2, map(partial(dist, row), columns)
        result.append([(own + square - d * d) / 2 for square, d in zip(squares, distances)])
    return result


@cache
def neighbours(pixels, side):
    """Return nine functions; each gives, for every pixel of a map, one of the 3x3 values around it."""
    grid = [(p, p // side % side, p % side) for p in range(pixels)]
    return [
        itemgetter(*(p + y * side + x if 0 <= row + y < side > col + x >= 0 else -1 for p, row, col in grid))
        for y, x in product((-1, 0, 1), repeat=2)
    ]


def windows(maps, side):
    """Return what a kernel sees at each pixel: the 3x3 values around it in every map, and 0 outside."""
    padded = [[*values, 0.0] for values in maps]  # index -1 finds this zero
    return [*zip(*(take(values) for values in padded for take in neighbours(len(maps[0]), side)))]


def convolution(maps, kernels, side):
    """Multiply each kernel with each window; a kernel makes one output map, and there is no bias."""
    seen = windows(maps, side)

    def back(gradient):
        kernels.gradient = dot_products(gradient, [*zip(*seen)])
        turned = [[w for k in kernels for w in k[i : i + 9][::-1]] for i in range(0, 9 * len(maps), 9)]
        return dot_products(turned, windows(gradient, side))  # a convolution too, with kernels turned by 180°

    return dot_products(kernels, seen), back


def batch_norm(maps, norms, training):
    """Bring each map to mean 0 and variance 1, then to a scale and an offset that are learnt."""
    result, kept, n = [], [], len(maps[0])
    for values, norm in zip(maps, norms):
        scale, offset, mean, variance = norm  # predictions use the running mean and variance
        if training:
            mean = sum(values) / n
            variance = sum((v - mean) ** 2 for v in values) / n
            norm[2:] = 0.9 * norm[2] + 0.1 * mean, 0.9 * norm[3] + 0.1 * variance * n / (n - 1)
        deviation = sqrt(variance + 1e-5)
        kept.append(([(v - mean) / deviation for v in values], scale / deviation))
        result.append([scale * v + offset for v in kept[-1][0]])

    def back(gradient):
        norms.gradient = [[sum(map(mul, row, normal)), sum(row)] for row, (normal, _) in zip(gradient, kept)]
        return [  # without what would only scale or shift the map: normalising undoes that
            [factor * (g - (by_scale * v + by_offset) / n) for g, v in zip(row, normal)]
            for row, (normal, factor), (by_scale, by_offset) in zip(gradient, kept, norms.gradient)
        ]

    return result, back


def relu(maps):
    """Replace negative values by 0."""
    result = [[v if v > 0 else 0.0 for v in values] for values in maps]
    return result, lambda gradient: [[g * (v > 0) for g, v in zip(*rows)] for rows in zip(gradient, result)]


def quads(pixels, side):
    """Return the four pixels of each 2x2 window."""
    return [(p, p + 1, p + side, p + side + 1) for p in range(0, pixels, 2) if p // side % 2 == 0]


def find_maxima(maps, side):
    """Return which of its four pixels is each window's (first) maximum: two bits, four windows to a byte."""
    packed = []
    for values in maps:
        codes = [four.index(max(four, key=values.__getitem__)) for four in quads(len(values), side)]
        quarters = zip_longest(codes[::4], codes[1::4], codes[2::4], codes[3::4], fillvalue=0)
        packed.append(bytes(a | b << 2 | c << 4 | d << 6 for a, b, c, d in quarters))
    return packed


def places(codes, pixels, side):
    """Return the pixels where a map's maxima are."""
    return [four[codes[i // 4] >> i % 4 * 2 & 3] for i, four in enumerate(quads(pixels, side))]


def pool(maps, codes, side):
    """Keep the maxima; this is also the way back through an un-pool."""
    return [[values[p] for p in places(own, len(values), side)] for values, own in zip(maps, codes)]


def unpool(maps, codes, side):
    """Put each value where the maximum was, and 0 elsewhere; this is also the way back through a pool."""
    pixels = 4 * len(maps[0])
    placed = (dict(zip(places(own, pixels, side), values)) for values, own in zip(maps, codes))
    return [[value_at.get(p, 0.0) for p in range(pixels)] for value_at in placed]


# Part 2, the network: a number stands for convolution, batch norm and ReLU, and for how many maps they give.
# The article has 64 64 pool 128 128 pool 256 256 256 pool 512 512 512 pool, and their mirror image.
SEGNET = (4, 4, "pool", 8, 8, "pool", "unpool", 8, 4, "unpool", 4, len(CLASSES))


def new_weights(rng, maps=3):
    """Return a batch norm for the image, then kernels and a batch norm for each number of SEGNET."""
    weights = [Weights([1.0, 0.0, 0.0, 1.0] for _ in range(maps))]  # scale, offset, running mean and variance
    for count in (entry for entry in SEGNET if isinstance(entry, int)):
        bound = 1 / sqrt(9 * maps)
        weights.append(Weights([rng.uniform(-bound, bound) for _ in range(9 * maps)] for _ in range(count)))
        weights.append(Weights([1.0, 0.0, 0.0, 1.0] for _ in range(count)))
        maps = count
    return weights


def segnet(weights, maps, training=False):
    """Return the logits, and the way back through each layer."""
    weights, side, codes = iter(weights), SIDE, []
    maps, *tape = batch_norm(maps, next(weights), training)
    for entry in SEGNET:
        if entry == "pool":
            codes.append(find_maxima(maps, side))
            tape.append(partial(unpool, codes=codes[-1], side=side))
            maps, side = pool(maps, codes[-1], side), side // 2
        elif entry == "unpool":
            tape.append(partial(pool, codes=codes[-1], side=2 * side))
            maps, side = unpool(maps, codes.pop(), 2 * side), 2 * side
        else:
            unit = (convolution, next(weights), side), (batch_norm, next(weights), training), (relu,)
            for layer, *settings in unit:
                maps, back = layer(maps, *settings)
                tape.append(back)
    return maps, tape


def cross_entropy(logits, mask):
    """Return the mean of -log(probability of the true class), and its gradient."""
    loss, gradient = 0.0, []
    for values, label in zip(zip(*logits), mask):
        exps = [exp(v) for v in values]
        loss -= log(exps[label] / sum(exps)) / len(mask)
        gradient.append([(e / sum(exps) - (c == label)) / len(mask) for c, e in enumerate(exps)])
    return loss, [*zip(*gradient)]


def adam(weights, moments, step, rate):
    """Move each weight against its mean gradient, divided by the root of its mean squared gradient."""
    for key, (row, gradient) in enumerate(pair for each in weights for pair in zip(each, each.gradient)):
        for i, g in enumerate(gradient):
            mean, square = moments.get((key, i), (0.0, 0.0))
            moments[key, i] = mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
            row[i] -= rate * mean / (1 - 0.9**step) / (sqrt(square / (1 - 0.999**step)) + 1e-8)


def scores(mask, predicted):
    """Return pixel accuracy, and the mean over the classes of intersection over union."""
    pairs = [*zip(mask, predicted)]
    ious = [pairs.count((label, label)) / sum(label in pair for pair in pairs) for label in CLASSES]
    return sum(a == b for a, b in pairs) / len(pairs), sum(ious) / len(ious)


def show(pixels, *masks):
    """Print an image and masks side by side; every second row, as a character is twice as high as wide."""
    looks = ("\033[33m#\033[0m", "\033[34m.\033[0m", "\033[36m+\033[0m") if sys.stdout.isatty() else "#.+"
    for row in (slice(start, start + SIDE) for start in range(0, SIDE * SIDE, 2 * SIDE)):
        image = "".join(" .:-=+*#%@"[int(3.3 * sum(pixel))] for pixel in pixels[row])
        print(image, *("".join(looks[label] for label in mask[row]) for mask in masks), sep="   ")


def main(steps=160):
    """Learn from four new pets in each step, then segment 40 others."""
    weights, moments, rng = new_weights(random.Random(0)), {}, random.Random(1)
    for step in range(1, steps + 1):
        maps, mask = draw_pets(rng, 4)
        logits, tape = segnet(weights, maps, training=True)
        loss, gradient = cross_entropy(logits, mask)
        for back in reversed(tape):
            gradient = back(gradient)
        adam(weights, moments, step, rate=0.02 * 0.7 ** (6 * step // steps))
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}", flush=True)
    maps, mask = draw_pets(random.Random(2), 40)
    predicted = [values.index(max(values)) for values in zip(*segnet(weights, maps)[0])]
    for name, answer in (("segnet", predicted), ("background everywhere", [BACKGROUND] * len(mask))):
        print("{}: pixel accuracy {:.3f}, mean IoU {:.3f}".format(name, *scores(mask, answer)))
    for pet in (slice(i * SIDE * SIDE, (i + 1) * SIDE * SIDE) for i in range(3)):
        print()
        show([*zip(*maps)][pet], mask[pet], predicted[pet])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
