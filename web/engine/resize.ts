/** Resizing with Pillow's arithmetic: a page must give the network what Python gives it, to the bit. */

import type { FeatureMap, Picture } from "./picture.ts";

export type Method = "nearest" | "area" | "bilinear";

const BITS = 22; // of a weight's fraction, for 8-bit values
const HALF = 1 << (BITS - 1); // sums are rounded, not cut

/** Of each value given: the first value taken, and from there on as many weights; `most` places for each. */
interface Filter<Weights> {
  first: Int32Array;
  counts: Int32Array;
  weights: Weights;
  most: number;
}

/** Resize 8-bit pixels. `area` is Pillow's BOX and averages over all that a pixel covers, `bilinear` too. */
export function resizeBytes(picture: Picture, height: number, width: number, method: Method): Picture {
  const { channels } = picture;
  if (picture.height === height && picture.width === width) return picture;
  if (method === "nearest") return nearest(picture, height, width);
  const columns = picture.width === width ? null : wholeNumbers(filterOf(picture.width, width, method));
  const rows = picture.height === height ? null : wholeNumbers(filterOf(picture.height, height, method));
  let { data } = picture;
  if (rows && rowsFirst(picture, height, width)) {
    data = alongColumns(data, picture.width * channels, rows);
    if (columns) data = alongRows(data, height, picture.width, channels, columns);
  } else {
    if (columns) data = alongRows(data, picture.height, picture.width, channels, columns);
    if (rows) data = alongColumns(data, width * channels, rows);
  }
  return { width, height, channels, data };
}

/** Whether the height is resized before the width: since version 13 Pillow does where it loses far more of it. */
function rowsFirst(picture: Picture, height: number, width: number): boolean {
  return picture.height > height && 2 * (picture.width - width) < picture.height - height;
}

/** Resize a map bilinearly, and visit its rows from top to bottom; the next one is written over each. */
export function forEachResizedRow(
  map: FeatureMap,
  height: number,
  width: number,
  visit: (values: Float32Array, row: number) => void,
): void {
  const { channels } = map;
  const wide = map.width === width ? map.data : widened(map, width);
  const length = width * channels;
  const values = new Float32Array(length);
  const sums = new Float64Array(length);
  const filter = filterOf(map.height, height, "bilinear");
  for (let row = 0; row < height; row++) {
    const from = filter.first[row]! * length;
    const weights = weightsOf(filter, row);
    if (weights.length === 2)
      between(wide.subarray(from, from + 2 * length), weights[0]!, weights[1]!, values);
    else {
      sums.fill(0);
      weights.forEach((weight, i) => {
        for (let j = 0; j < length; j++) sums[j]! += wide[from + i * length + j]! * weight;
      });
      values.set(sums);
    }
    visit(values, row);
  }
}

/** Write what lies between two rows, the one after the other. */
function between(rows: Float32Array, upper: number, lower: number, values: Float32Array): void {
  const length = values.length;
  for (let i = 0; i < length; i++) values[i] = rows[i]! * upper + rows[length + i]! * lower;
}

function widened(map: FeatureMap, width: number): Float32Array {
  const { height, channels, data } = map;
  const filter = filterOf(map.width, width, "bilinear");
  const [taken, given] = [map.width * channels, width * channels];
  const result = new Float32Array(height * given);
  for (let row = 0; row < height; row++) {
    const from = data.subarray(row * taken, (row + 1) * taken);
    widenRow(from, channels, filter, result.subarray(row * given, (row + 1) * given));
  }
  return result;
}

function widenRow(
  from: Float32Array,
  channels: number,
  { first, counts, weights, most }: Filter<Float64Array>,
  to: Float32Array,
): void {
  for (let column = 0, at = 0; column < first.length; column++) {
    const begin = first[column]! * channels;
    const weight = column * most;
    const count = counts[column]!;
    if (count === 2) {
      const [left, right] = [weights[weight]!, weights[weight + 1]!];
      for (let j = begin; j < begin + channels; j++, at++)
        to[at] = from[j]! * left + from[j + channels]! * right;
      continue;
    }
    for (let c = 0; c < channels; c++, at++) {
      let sum = 0;
      for (let i = 0, j = begin + c; i < count; i++, j += channels) sum += from[j]! * weights[weight + i]!;
      to[at] = sum;
    }
  }
}

/** Return the weights that Pillow gives the values around each new one: a box, or a triangle twice as wide. */
function filterOf(taken: number, given: number, method: Method): Filter<Float64Array> {
  const scale = taken / given;
  const stretched = Math.max(1, scale);
  const reach = (method === "area" ? 0.5 : 1) * stretched;
  const most = Math.ceil(2 * reach) + 1;
  const first = new Int32Array(given);
  const counts = new Int32Array(given);
  const weights = new Float64Array(given * most);
  for (let i = 0; i < given; i++) {
    const centre = (i + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - reach + 0.5));
    const count = Math.min(taken, Math.trunc(centre + reach + 0.5)) - begin;
    let sum = 0;
    for (let j = 0; j < count; j++) {
      const distance = (j + begin - centre + 0.5) * (1 / stretched);
      const inside = distance > -0.5 && distance <= 0.5 ? 1 : 0;
      const weight = method === "area" ? inside : Math.max(0, 1 - Math.abs(distance));
      weights[i * most + j] = weight;
      sum += weight;
    }
    if (sum !== 0) for (let j = 0; j < count; j++) weights[i * most + j]! /= sum;
    first[i] = begin;
    counts[i] = count;
  }
  return { first, counts, weights, most };
}

/** Return the weights of one value. */
function weightsOf<Weights extends Float64Array | Int32Array>(filter: Filter<Weights>, i: number): Weights {
  return filter.weights.subarray(i * filter.most, i * filter.most + filter.counts[i]!) as Weights;
}

/** Return the weights as whole numbers of 2^-22; they add up to 1, so that sums of bytes stay below 2^31. */
function wholeNumbers({ weights, ...filter }: Filter<Float64Array>): Filter<Int32Array> {
  return { ...filter, weights: Int32Array.from(weights, (weight) => Math.trunc(0.5 + weight * 2 ** BITS)) };
}

type Bytes = Uint8Array | Uint8ClampedArray;

function alongRows(
  data: Bytes,
  height: number,
  width: number,
  channels: number,
  filter: Filter<Int32Array>,
): Bytes {
  const [taken, given] = [width * channels, filter.first.length * channels];
  const result = new Uint8ClampedArray(height * given);
  for (let row = 0; row < height; row++) {
    const from = data.subarray(row * taken, (row + 1) * taken);
    (channels === 4 ? alongRgbaRow : alongRow)(
      from,
      channels,
      filter,
      result.subarray(row * given, (row + 1) * given),
    );
  }
  return result;
}

function alongRow(
  from: Bytes,
  channels: number,
  { first, counts, weights, most }: Filter<Int32Array>,
  to: Bytes,
): void {
  for (let column = 0, at = 0; column < first.length; column++) {
    const begin = first[column]! * channels;
    const weight = column * most;
    const count = counts[column]!;
    for (let c = 0; c < channels; c++, at++) {
      let sum = HALF;
      for (let i = 0, j = begin + c; i < count; i++, j += channels) {
        sum = (sum + Math.imul(from[j]!, weights[weight + i]!)) | 0;
      }
      to[at] = sum >> BITS;
    }
  }
}

/** The same for pixels of a canvas, in half the time. */
function alongRgbaRow(
  from: Bytes,
  _: number,
  { first, counts, weights, most }: Filter<Int32Array>,
  to: Bytes,
): void {
  for (let column = 0; column < first.length; column++) {
    let [red, green, blue, alpha] = [HALF, HALF, HALF, HALF];
    const at = column * most;
    const end = at + counts[column]!;
    for (let i = at, j = first[column]! * 4; i < end; i++, j += 4) {
      const weight = weights[i]!;
      red = (red + Math.imul(from[j]!, weight)) | 0;
      green = (green + Math.imul(from[j + 1]!, weight)) | 0;
      blue = (blue + Math.imul(from[j + 2]!, weight)) | 0;
      alpha = (alpha + Math.imul(from[j + 3]!, weight)) | 0;
    }
    to[column * 4] = red >> BITS;
    to[column * 4 + 1] = green >> BITS;
    to[column * 4 + 2] = blue >> BITS;
    to[column * 4 + 3] = alpha >> BITS;
  }
}

function alongColumns(
  data: Bytes,
  length: number,
  { first, counts, weights, most }: Filter<Int32Array>,
): Bytes {
  const result = new Uint8ClampedArray(first.length * length);
  const sums = new Int32Array(length);
  for (let row = 0; row < first.length; row++) {
    sums.fill(HALF);
    for (let i = 0; i < counts[row]!; i++) {
      const weight = weights[row * most + i]!;
      const from = (first[row]! + i) * length;
      for (let j = 0; j < length; j++) sums[j] = (sums[j]! + Math.imul(data[from + j]!, weight)) | 0;
    }
    for (let j = 0; j < length; j++) result[row * length + j] = sums[j]! >> BITS;
  }
  return result;
}

/** Take the pixel under each new one's centre; Pillow adds steps up, so rounding is the same. */
function nearest(picture: Picture, height: number, width: number): Picture {
  const { channels } = picture;
  const rows = under(picture.height, height);
  const columns = under(picture.width, width);
  const data = new Uint8ClampedArray(height * width * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * picture.width + column) * channels;
      for (let c = 0; c < channels; c++) data[to++] = picture.data[from + c]!;
    }
  }
  return { width, height, channels, data };
}

function under(taken: number, given: number): number[] {
  const step = taken / given;
  let place = step * 0.5;
  return Array.from({ length: given }, () => {
    const found = Math.trunc(place);
    place += step;
    return found;
  });
}
