/** A network as the page shows it: stages of layers, what passes from encoder to decoder, names in the article's words. */

import type { Header, Layer, Model } from "../engine/index.ts";
import { shapesOf } from "../engine/shapes.ts";

export interface Stage {
  title: string;
  /** How often height and width were halved before it, from 0: how far down it is drawn. */
  level: number;
  /** Numbers of its layers' tensors. */
  tensors: number[];
}

/** What a decoder stage gets from the encoder. */
export interface Link {
  kind: "positions" | "lateral";
  from: number;
  to: number;
}

/** Returns the stages in order: one begins after a pool, at a stride of 2 and at an un-pool. */
export function stagesOf({ layers }: Header): Stage[] {
  const groups: number[][] = [[]];
  layers.forEach((layer, index) => {
    const before = layers[index - 1]?.op;
    const halves = "stride" in layer && layer.stride > 1 && groups.at(-1)!.length > 0;
    if (before === "pool" || halves || isUp(layer)) groups.push([]);
    groups.at(-1)!.push(index + 1);
  });
  const stages = groups.filter((group) => group.length);
  const up = stages.findIndex((group) => isUp(layers[group[0]! - 1]!));
  const hasBottleneck = up > 0 && !stages[up - 1]!.some((tensor) => layers[tensor - 1]!.op === "pool");
  const encoders = up < 0 ? stages.length : up - (hasBottleneck ? 1 : 0);
  return stages.map((tensors, i) => {
    const level = i < up || up < 0 ? i : Math.max(0, up - (hasBottleneck ? 2 : 1) - (i - up));
    if (i < encoders) return { title: `Encoder ${i + 1}`, level, tensors };
    if (i < up) return { title: "Bottleneck", level, tensors };
    return { title: `Decoder ${i - up + 1}`, level, tensors };
  });
}

function isUp(layer: Layer): boolean {
  return layer.op === "unpool" || layer.op === "upsample";
}

/** Returns the pooling positions and the lateral maps. */
export function linksOf({ layers }: Header): Link[] {
  return layers.flatMap((layer, index) => {
    const to = index + 1;
    const links: Link[] = [];
    if (layer.op === "unpool") links.push({ kind: "positions", from: layer.codes, to });
    if (isUp(layer) && "add" in layer) links.push({ kind: "lateral", from: layer.add!, to });
    return links;
  });
}

/** Returns a layer's name, such as `1×1 convolution, ReLU`. */
export function nameOf(layer: Layer, short = false): string {
  switch (layer.op) {
    case "conv":
    case "depthwise": {
      const size = `${layer.kernel}×${layer.kernel}`;
      const kind = layer.op === "conv" ? (short ? "conv" : "convolution") : "depthwise";
      const full = layer.op === "depthwise" && !short ? "depthwise convolution" : kind;
      const stride = layer.stride > 1 ? `, stride ${layer.stride}` : "";
      const after = { none: "", relu: ", ReLU", relu6: ", ReLU6" }[layer.activation];
      return short ? `${kind} ${size}` : `${size} ${full}${stride}${after}`;
    }
    case "pool":
      return short ? "pool 2×2" : "2×2 max-pool";
    case "unpool":
      return "un-pool";
    case "upsample":
      return short ? "upsample" : "upsample, each value four times";
    case "shuffle":
      return short
        ? "pixel shuffle"
        : `pixel shuffle: channels become ${layer.factor}×${layer.factor} pixels`;
  }
}

/** Returns how many weights and biases each tensor's layer has; none of the image. */
export function parametersOf({ weights }: Model): number[] {
  return [0, ...weights.map(({ kernel, bias }) => kernel.length + bias.length)];
}

/** Returns height, width and channels of each tensor, for pictures of the network's own size. */
export function sizesOf(header: Header): string[] {
  const shapes = shapesOf(header, ...header.size);
  return shapes.map(({ height, width, channels }) => `${height}×${width}×${channels}`);
}
