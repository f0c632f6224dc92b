/** How one value of a map comes about: computed here from the layer's weights and what it reads, not by the engine. */

import type { Layer } from "../engine/index.ts";
import type { Activation } from "../engine/model.ts";
import { grey } from "../engine/picture.ts";
import type { ForwardPass } from "./forward_pass.ts";
import { unfolded } from "./norms.ts";

export interface Place {
  tensor: number;
  row: number;
  column: number;
  channel: number;
}

/** What one channel that a convolution reads brings: its window times the kernel. */
export interface Part {
  channel: number;
  /** Row by row; null beyond the map's edge, where a convolution reads 0. */
  window: (number | null)[];
  kernel: number[];
  sum: number;
}

export type Explanation =
  | {
      kind: "convolution";
      size: number;
      top: number;
      left: number;
      parts: Part[];
      bias: number;
      /** The batch norm after the convolution, and what it makes of parts and bias; null where there is none. */
      norm: { scale: number; shift: number; value: number } | null;
      added: number | null;
      sum: number;
      activation: Activation;
      value: number;
    }
  | { kind: "pool"; window: number[]; code: number; value: number }
  | {
      kind: "unpool";
      from: number;
      row: number;
      column: number;
      code: number;
      lands: boolean;
      put: number;
      added: number | null;
      value: number;
    }
  | { kind: "spread"; put: number; added: number | null; value: number }
  | { kind: "copy"; row: number; column: number; channel: number; value: number }
  | { kind: "pixel"; byte: number; scale: number; shift: number; value: number };

export function explain(pass: ForwardPass, place: Place): Explanation {
  const { tensor, row, column, channel } = place;
  const { header, picture } = pass;
  if (tensor === 0) {
    const byte = entering(picture, row, column, channel, header.input.channels);
    const [scale, shift] = [header.input.scale[channel]!, header.input.shift[channel]!];
    return { kind: "pixel", byte, scale, shift, value: byte * scale + shift };
  }
  const layer = header.layers[tensor - 1]!;
  switch (layer.op) {
    case "conv":
    case "depthwise":
      return convolution(pass, layer, place);
    case "pool": {
      const at = (code: number): number =>
        pass.value(layer.from, 2 * row + (code >> 1), 2 * column + (code & 1), channel);
      const window = [0, 1, 2, 3].map(at);
      const value = Math.max(...window);
      return { kind: "pool", window, code: window.indexOf(value), value };
    }
    case "unpool":
      return unpool(pass, layer, place);
    case "upsample": {
      const put = pass.value(layer.from, row >> 1, column >> 1, channel);
      const added = addedTo(pass, layer, place);
      return { kind: "spread", put, added, value: put + (added ?? 0) };
    }
    case "shuffle": {
      const { factor } = layer;
      const [r, c] = [Math.floor(row / factor), Math.floor(column / factor)];
      const from = channel * factor ** 2 + (row % factor) * factor + (column % factor);
      return { kind: "copy", row: r, column: c, channel: from, value: pass.value(layer.from, r, c, from) };
    }
  }
}

type Convolution = Extract<Layer, { op: "conv" | "depthwise" }>;

function convolution(pass: ForwardPass, layer: Convolution, place: Place): Explanation {
  const { tensor, row, column, channel } = place;
  const weights = pass.model.weights[tensor - 1]!;
  const known = pass.norms[tensor - 1];
  const [scale, shift] = known ? [known.scale[channel]!, known.shift[channel]!] : [1, 0];
  const taken = pass.map(layer.from);
  const given = pass.map(tensor).channels;
  const isDense = layer.op === "conv";
  const [top, left] = [row * layer.stride - layer.pad[0], column * layer.stride - layer.pad[0]];
  const channels = isDense ? Array.from({ length: taken.channels }, (_, i) => i) : [channel];
  const parts = channels.map((from) => {
    const part: Part = { channel: from, window: [], kernel: [], sum: 0 };
    for (let tap = 0; tap < layer.kernel ** 2; tap++) {
      const [r, c] = [top + Math.floor(tap / layer.kernel), left + (tap % layer.kernel)];
      const isIn = r >= 0 && c >= 0 && r < taken.height && c < taken.width;
      const value = isIn ? pass.value(layer.from, r, c, from) : null;
      const weight = unfolded(
        weights.kernel[(isDense ? tap * taken.channels + from : tap) * given + channel]!,
        scale,
      );
      part.window.push(value);
      part.kernel.push(weight);
      part.sum += (value ?? 0) * weight;
    }
    return part;
  });
  const added = addedTo(pass, layer, place);
  const bias = unfolded(weights.bias[channel]! - shift, scale);
  const before = parts.reduce((total, part) => total + part.sum, bias);
  const norm = known ? { scale, shift, value: before * scale + shift } : null;
  const sum = (norm ? norm.value : before) + (added ?? 0);
  const { activation } = layer;
  const most = activation === "relu6" ? 6 : Infinity;
  const value = activation === "none" ? sum : Math.min(most, Math.max(0, sum));
  return {
    kind: "convolution",
    size: layer.kernel,
    top,
    left,
    parts,
    bias,
    norm,
    added,
    sum,
    activation,
    value,
  };
}

function unpool(pass: ForwardPass, layer: Extract<Layer, { op: "unpool" }>, place: Place): Explanation {
  const { row, column, channel } = place;
  const added = addedTo(pass, layer, place);
  const way = pass.breaks.unpooling;
  if (way === "bilinear" || way === "everywhere") {
    const value = pass.value(place.tensor, row, column, channel);
    return { kind: "spread", put: value - (added ?? 0), added, value };
  }
  const { height, width, channels } = pass.map(layer.from);
  const [r, c] = [row >> 1, column >> 1];
  const isIn = r < height && c < width; // an odd last row or column lies in no window
  const code = isIn ? pass.codes(layer.codes)[(r * width + c) * channels + channel]! : 0;
  const lands = isIn && code === 2 * (row & 1) + (column & 1);
  const from = isIn ? pass.value(layer.from, r, c, channel) : 0;
  const put = lands ? from : 0;
  return { kind: "unpool", from, row: r, column: c, code, lands, put, added, value: put + (added ?? 0) };
}

/** Returns the value of the map that a layer adds, or null. */
function addedTo(pass: ForwardPass, layer: Layer, { row, column, channel }: Place): number | null {
  if (!("add" in layer) || layer.add === undefined) return null;
  if (layer.op !== "conv" && !pass.breaks.lateral) return null;
  return pass.value(layer.add, row, column, channel);
}

/** Returns a channel of a pixel as it enters the network; the last row and column are repeated beyond the edge. */
function entering(
  { width, height, channels, data }: ForwardPass["picture"],
  row: number,
  column: number,
  channel: number,
  needed: number,
): number {
  const at = (Math.min(row, height - 1) * width + Math.min(column, width - 1)) * channels;
  if (needed !== 1 || channels !== 4) return data[at + channel]!;
  return grey(data, at);
}
