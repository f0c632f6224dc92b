/** Pixels in and logits out: scaling, rows and columns beyond the edge, channels that become pixels. */

import type { Tensor } from "./operations.ts";
import type { Shape } from "./shapes.ts";

/** Pixels row by row. `channels` is 4 for RGBA, as a canvas gives it, or the network's own number. */
export interface Picture {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array | Uint8ClampedArray;
}

/** A map, height by width by channels. */
export interface FeatureMap {
  height: number;
  width: number;
  channels: number;
  data: Float32Array;
}

/** Return `value * scale + shift` of each channel and value, 256 a channel. */
export function scaledValues(scale: number[], shift: number[]): Float32Array {
  return Float32Array.from(
    { length: 256 * scale.length },
    (_, i) => scale[i >> 8]! * (i & 255) + shift[i >> 8]!,
  );
}

/** Write a picture's scaled values to a map; its last row and column are repeated where the map is larger. */
export function enter({ width, height, channels, data }: Picture, scaled: Float32Array, image: Tensor): void {
  const isGrey = image.channels === 1 && channels === 4;
  const values = image.data;
  for (let row = 0, to = 0; row < image.height; row++) {
    const start = Math.min(row, height - 1) * width;
    for (let column = 0; column < image.width; column++, to += image.pixel) {
      const from = (start + Math.min(column, width - 1)) * channels;
      if (isGrey) values[to] = scaled[grey(data, from)]!;
      else for (let c = 0; c < image.channels; c++) values[to + c] = scaled[(c << 8) | data[from + c]!]!;
    }
  }
}

/** Return how bright a pixel is, as Pillow's convert("L") has it. */
export function grey(data: Uint8Array | Uint8ClampedArray, at: number): number {
  return (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
}

/** Spread channels over blocks of pixels: `pixel_shuffle`. */
export function shuffle(x: Tensor, factor: number, y: Tensor): void {
  const places = factor * factor;
  for (let place = 0; place < places; place++) {
    const down = Math.floor(place / factor);
    for (let row = 0; row < x.height; row++) {
      let from = row * x.width * x.pixel + place;
      let to = ((row * factor + down) * y.width + (place % factor)) * y.pixel;
      for (let column = 0; column < x.width; column++) {
        for (let c = 0; c < y.channels; c++) y.data[to + c] = x.data[from + c * places]!;
        from += x.pixel;
        to += factor * y.pixel;
      }
    }
  }
}

/** Return the upper left of a map, by default all of it, without what fills its pixels up. */
export function featureMap(map: Tensor, height = map.height, width = map.width): FeatureMap {
  return { height, width, channels: map.channels, data: packed(map.data, map, height, width) };
}

/** Return the values of a map of float32 or of bytes that count, height by width by channels. */
export function packed<Values extends Float32Array | Uint8Array>(
  values: Values,
  map: Shape,
  height = map.height,
  width = map.width,
): Values {
  const result = values.slice(0, height * width * map.channels) as Values;
  if (map.pixel === map.channels && width === map.width) return result;
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * map.width + column) * map.pixel;
      for (let c = 0; c < map.channels; c++) result[to++] = values[from + c]!;
    }
  }
  return result;
}
