/** A network for images of one size: where its maps and weights lie in memory, and the way through its layers. */

import type { Activation, Layer, Model } from "./model.ts";
import type { Convolution, Operations, Operator, Tensor } from "./operations.ts";
import { enter, featureMap, scaledValues, shuffle, type FeatureMap, type Picture } from "./picture.ts";
import { enlarge, moveMaxima, type Unpooling } from "./unpooling.ts";
import { Layout, shapesOf, tensorsRead, type Shape } from "./shapes.ts";

const SPARE_PIXELS = 3; // behind a map: the last tile of a small one reaches over its end

const LIMITS: Record<Activation, [least: number, most: number]> = {
  none: [-Infinity, Infinity],
  relu: [0, Infinity],
  relu6: [0, 6],
};

export class Plan {
  readonly tensors: Tensor[];
  /** Positions of the maxima, at the place of each pool's tensor. */
  readonly codes: (Uint8Array | null)[];
  private readonly layers: Layer[];
  private readonly convolutions: (Convolution | null)[];
  private readonly scratch: Float32Array;
  private readonly operations: Operations;
  private readonly scaled: Float32Array;

  /**
   * Take memory, and lay the weights out in it.
   *
   * @param model - the network.
   * @param operator - what computes.
   * @param height - of the image, a multiple of `header.input.multiple`, as is its width.
   * @param width - of the image.
   * @param keep - whether each map has a place of its own; else those that aren't read any more are written over.
   */
  constructor(
    model: Model,
    operator: Operator,
    height: number,
    width: number,
    readonly keep: boolean,
  ) {
    const { input, layers } = model.header;
    const shapes = shapesOf(model.header, height, width);
    const fixed = new Layout();
    const packed = layers.map((layer, i) =>
      pack(layer, model.weights[i]!, operator, shapes[layer.from]!, shapes[i + 1]!),
    );
    const weights = packed.map(
      (each) => each && [fixed.place(each.weights.byteLength), fixed.place(each.bias.byteLength)],
    );
    const scratch = Math.max(0, ...packed.map((each) => each?.scratch ?? 0));
    const scratchAt = fixed.place(4 * scratch);
    const codesAt = layers.map((layer, i) =>
      layer.op === "pool" ? fixed.place(size(shapes[i + 1]!)) : null,
    );
    const maps = new Layout(fixed.bytes);
    const mapsAt = shapes.map((shape, i) =>
      maps.place(4 * size(shape), i, keep ? Infinity : lastRead(layers, i)),
    );

    this.operations = operator.open(maps.bytes);
    const { memory } = this.operations;
    this.layers = layers;
    this.scaled = scaledValues(input.scale, input.shift);
    this.scratch = new Float32Array(memory, scratchAt, scratch);
    this.codes = [
      null,
      ...codesAt.map((at, i) => (at === null ? null : new Uint8Array(memory, at, size(shapes[i + 1]!)))),
    ];
    this.tensors = shapes.map((shape, i) => ({
      ...shape,
      data: new Float32Array(memory, mapsAt[i], size(shape)),
    }));
    this.convolutions = packed.map((each, i) => each && { ...each, ...placed(memory, each, weights[i]!) });
  }

  /** Whether this plan is for such images. */
  fits(height: number, width: number, keep: boolean): boolean {
    const image = this.tensors[0]!;
    return image.height === height && image.width === width && this.keep === keep;
  }

  /** Return the logits of a picture, at its own size. */
  run(picture: Picture, unpooling: Unpooling, lateral: boolean): FeatureMap {
    enter(picture, this.scaled, this.tensors[0]!);
    this.layers.forEach((layer, index) => this.compute(layer, index, unpooling, lateral));
    return featureMap(this.tensors.at(-1)!, picture.height, picture.width);
  }

  private compute(layer: Layer, index: number, unpooling: Unpooling, lateral: boolean): void {
    const [x, y] = [this.tensors[layer.from]!, this.tensors[index + 1]!];
    const isDropped = !lateral && layer.op !== "conv"; // a convolution adds its unit's input, not a lateral map
    const add = "add" in layer && !isDropped ? this.tensors[layer.add!]! : null;
    const convolution = this.convolutions[index]!;
    switch (layer.op) {
      case "conv":
        return this.operations.conv(x, convolution, this.scratch, add, y);
      case "depthwise":
        return this.operations.depthwise(x, convolution, y);
      case "pool":
        this.operations.pool(x, y, this.codes[index + 1]!);
        return moveMaxima(this.codes[index + 1]!, unpooling);
      case "unpool":
        if (unpooling === "everywhere" || unpooling === "bilinear") {
          return enlarge(x, unpooling === "bilinear", add, y);
        }
        return this.operations.unpool(x, this.codes[layer.codes]!, add, y);
      case "upsample":
        return this.operations.upsample(x, add, y);
      case "shuffle":
        return shuffle(x, layer.factor, y);
    }
  }
}

/** Return how many values a map takes. */
function size({ height, width, pixel }: Shape): number {
  return (height * width + SPARE_PIXELS) * pixel;
}

/** Return the last layer that reads a tensor; that of the logits is read at the end. */
function lastRead(layers: Layer[], tensor: number): number {
  const last = layers.findLastIndex((layer) => tensorsRead(layer).includes(tensor));
  return last < 0 ? Infinity : last + 1;
}

type Packed = Convolution & { scratch: number };

function pack(
  layer: Layer,
  weights: { kernel: Float32Array; bias: Float32Array },
  operator: Operator,
  x: Shape,
  y: Shape,
): Packed | null {
  if (layer.op !== "conv" && layer.op !== "depthwise") return null;
  const { kernel, stride, pad, activation } = layer;
  const [least, most] = LIMITS[activation];
  const isDense = layer.op === "conv";
  return {
    kernel,
    stride,
    before: pad[0],
    weights: isDense ? operator.packConv(weights.kernel, kernel, x, y) : filledUp(weights.kernel, y),
    bias: filledUp(weights.bias, y),
    least,
    most,
    scratch: isDense ? operator.scratch(kernel, stride, x, y) : 0,
  };
}

/** Return values for each channel with zeros between them, so that each pixel's begin at a multiple of four. */
function filledUp(values: Float32Array, { channels, pixel }: Shape): Float32Array {
  const result = new Float32Array((values.length / channels) * pixel);
  values.forEach((value, i) => (result[Math.floor(i / channels) * pixel + (i % channels)] = value));
  return result;
}

function placed(
  memory: ArrayBuffer,
  { weights, bias }: Packed,
  at: number[],
): Pick<Convolution, "weights" | "bias"> {
  const [theirs, biases] = [weights, bias].map((values, i) => {
    const view = new Float32Array(memory, at[i], values.length);
    view.set(values);
    return view;
  }) as [Float32Array, Float32Array];
  return { weights: theirs, bias: biases };
}
