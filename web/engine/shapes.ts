/** The sizes of a network's maps, and where each lies in memory. */

import { ModelError, type Header, type Layer } from "./model.ts";

const ALIGNED = 64; // bytes of a processor's cache line

export interface Shape {
  height: number;
  width: number;
  channels: number;
  /** Values that a pixel takes in memory, at least its channels: what SIMD reads and writes at once. */
  pixel: number;
}

/**
 * Return the channels of each tensor.
 *
 * @throws ModelError for a layer that the engine doesn't know, and for a network whose layers don't fit together.
 */
export function channelsOf(header: Header): number[] {
  const channels = [header.input.channels];
  header.layers.forEach((layer, index) => {
    for (const other of tensorsRead(layer)) {
      if (!(other >= 0 && other <= index)) throw misfit(layer);
    }
    channels.push(givenChannels(layer, channels[layer.from]!));
    if ("add" in layer && channels[layer.add!] !== channels[index + 1]) throw misfit(layer);
    if (layer.op === "unpool" && header.layers[layer.codes - 1]?.op !== "pool") throw misfit(layer);
  });
  if (channels.at(-1) !== header.classes.names.length) throw misfit(header.layers.at(-1));
  return channels;
}

function misfit(layer: Layer | undefined): ModelError {
  return new ModelError(
    `The model file is damaged: layer ${layer?.name ?? "0"} doesn't fit; export it again.`,
  );
}

/** Return the tensors that a layer reads. */
export function tensorsRead(layer: Layer): number[] {
  const tensors = [layer.from];
  if ("add" in layer && layer.add !== undefined) tensors.push(layer.add);
  if (layer.op === "unpool") tensors.push(layer.codes);
  return tensors;
}

function givenChannels(layer: Layer, taken: number): number {
  switch (layer.op) {
    case "conv":
      return layer.channels;
    case "shuffle":
      return taken / layer.factor ** 2;
    case "depthwise":
    case "pool":
    case "unpool":
    case "upsample":
      return taken;
    default:
      throw new ModelError(
        `The network has a layer that this page doesn't know: ${String((layer as Layer).op)}; use the page of a newer segnet.`,
      );
  }
}

/** Return the shape of each tensor for an image whose sides are multiples of `header.input.multiple`. */
export function shapesOf(header: Header, height: number, width: number): Shape[] {
  const channels = channelsOf(header);
  const shapes: Shape[] = [{ height, width, channels: channels[0]!, pixel: upTo(4, channels[0]!) }];
  header.layers.forEach((layer, index) => {
    const from = shapes[layer.from]!;
    const given = channels[index + 1]!;
    if (layer.op === "conv" || layer.op === "depthwise") {
      const [height, width] = [from.height, from.width].map(
        (side) => Math.floor((side + layer.pad[0] + layer.pad[1] - layer.kernel) / layer.stride) + 1,
      ) as [number, number];
      shapes.push({
        height,
        width,
        channels: given,
        pixel: layer.op === "conv" ? upTo(8, given) : from.pixel,
      });
    } else if (layer.op === "unpool") {
      const { height, width } = shapes[header.layers[layer.codes - 1]!.from]!;
      shapes.push({ ...from, height, width });
    } else if (layer.op === "shuffle") {
      const { height, width } = scaled(from, layer.factor);
      shapes.push({ height, width, channels: given, pixel: given });
    } else {
      shapes.push({ ...from, ...scaled(from, layer.op === "pool" ? 0.5 : 2) });
    }
  });
  if (shapes.some((shape) => shape.height < 1 || shape.width < 1)) {
    throw new ModelError(`An image of ${width}x${height} pixels is too small for this network.`);
  }
  return shapes;
}

function scaled(shape: Shape, factor: number): { height: number; width: number } {
  return { height: Math.floor(shape.height * factor), width: Math.floor(shape.width * factor) };
}

/** Return the next multiple of a number. */
export function upTo(multiple: number, count: number): number {
  return Math.ceil(count / multiple) * multiple;
}

/** Places in a memory: what is in use at the same time doesn't overlap, and the rest may. */
export class Layout {
  private readonly parts: { begin: number; end: number; last: number }[] = [];

  /** @param bytes - how many come before the first place. */
  constructor(public bytes = 0) {
    this.parts.push({ begin: 0, end: bytes, last: Infinity });
  }

  /** Return a place that is written at a step and read until another one; by default it is kept. */
  place(bytes: number, step = 0, last = Infinity): number {
    const size = upTo(ALIGNED, bytes);
    let begin = 0;
    for (const part of this.parts.filter((each) => each.last >= step).sort((a, b) => a.begin - b.begin)) {
      if (begin + size <= part.begin) break;
      begin = Math.max(begin, part.end);
    }
    this.parts.push({ begin, end: begin + size, last });
    this.bytes = Math.max(this.bytes, begin + size);
    return begin;
  }
}
