/** From a photo to its mask as Python has it: resize, run, resample the logits, take the largest. */

import type { Engine } from "./engine.ts";
import type { Header } from "./model.ts";
import type { FeatureMap, Picture } from "./picture.ts";
import { forEachResizedRow, resizeBytes } from "./resize.ts";

/** The class of each pixel of a photo, and each class's share of them, 0 to 1. */
export interface Segmentation {
  width: number;
  height: number;
  mask: Uint8Array;
  areas: number[];
}

/** Segment a photo of any size. */
export function segment(engine: Engine, photo: Picture): Segmentation {
  const { header } = engine.model;
  const logits = engine.run(prepare(photo, header));
  const [innerHeight, innerWidth] = innerSize(photo, header);
  const { width, height } = photo;
  const mask = new Uint8Array(width * height);
  const pixels = new Int32Array(logits.channels);
  forEachResizedRow(upperLeft(logits, innerHeight, innerWidth), height, width, (values, row) => {
    classify(values, mask.subarray(row * width, (row + 1) * width), pixels);
  });
  return { width, height, mask, areas: Array.from(pixels, (count) => count / mask.length) };
}

/** Write which of each pixel's values is the largest, the first of equal ones, and count them. */
export function classify(values: Float32Array, mask: Uint8Array, pixels: Int32Array): void {
  const channels = pixels.length;
  for (let i = 0, at = 0; i < mask.length; i++, at += channels) {
    let best = 0;
    let most = values[at]!;
    for (let c = 1; c < channels; c++) {
      const value = values[at + c]!;
      if (value <= most) continue;
      best = c;
      most = value;
    }
    mask[i] = best;
    pixels[best]!++;
  }
}

/** Return a photo as the network takes it: resized, and mirrored below or right where it keeps its proportions. */
export function prepare(photo: Picture, header: Header): Picture {
  const [height, width] = header.size;
  const [innerHeight, innerWidth] = innerSize(photo, header);
  const small = resizeBytes(photo, innerHeight, innerWidth, header.resize);
  if (innerHeight === height && innerWidth === width) return small;
  const { channels } = small;
  const data = new Uint8Array(height * width * channels);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (mirrored(row, innerHeight) * innerWidth + mirrored(column, innerWidth)) * channels;
      data.set(small.data.subarray(from, from + channels), (row * width + column) * channels);
    }
  }
  return { width, height, channels, data };
}

/** Return the row whose values stand in a row, the edge's own first where that lies beyond it. */
function mirrored(row: number, count: number): number {
  const place = row % (2 * count);
  return place < count ? place : 2 * count - 1 - place;
}

/** Return the height and width that a photo is resized to, before anything is mirrored. */
function innerSize(photo: Picture, { size: [height, width], keep_aspect }: Header): [number, number] {
  if (!keep_aspect) return [height, width];
  const scale = Math.min(height / photo.height, width / photo.width);
  const side = (pixels: number, most: number): number =>
    Math.min(most, Math.max(1, roundHalfEven(pixels * scale)));
  return [side(photo.height, height), side(photo.width, width)];
}

/** Round as Python does: a half goes to the even neighbour. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

function upperLeft(map: FeatureMap, height: number, width: number): FeatureMap {
  const count = width * map.channels;
  const data = new Float32Array(height * count);
  for (let row = 0; row < height; row++) {
    const from = row * map.width * map.channels;
    data.set(map.data.subarray(from, from + count), row * count);
  }
  return { height, width, channels: map.channels, data };
}
