/** Resizing with Pillow's arithmetic: a page must give the network what Python gives it, to the bit. */

import type { FeatureMap, Picture } from "./picture.ts";

export type Method = "nearest" | "area" | "bilinear";

const BITS = 22; // of a weight's fraction, for 8-bit values

/** Of each value given: the first value taken, and the weights from there on. */
interface Filter {
  first: Int32Array;
  weights: Float64Array[];
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
  const { first, weights } = filterOf(map.height, height, "bilinear");
  const count = width * channels;
  const values = new Float32Array(count);
  const sums = new Float64Array(count);
  for (let row = 0; row < height; row++) {
    if (map.height === height) {
      visit(wide.subarray(row * count, (row + 1) * count), row);
      continue;
    }
    sums.fill(0);
    weights[row]!.forEach((weight, i) => {
      const from = (first[row]! + i) * count;
      for (let j = 0; j < count; j++) sums[j]! += wide[from + j]! * weight;
    });
    values.set(sums);
    visit(values, row);
  }
}

function widened(map: FeatureMap, width: number): Float32Array {
  const { height, channels, data } = map;
  const { first, weights } = filterOf(map.width, width, "bilinear");
  const result = new Float32Array(height * width * channels);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * map.width + first[column]!) * channels;
      const some = weights[column]!;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0; i < some.length; i++) sum += data[from + i * channels + c]! * some[i]!;
        result[to++] = sum;
      }
    }
  }
  return result;
}

/** Return the weights that Pillow gives the values around each new one: a box, or a triangle twice as wide. */
function filterOf(taken: number, given: number, method: Method): Filter {
  const scale = taken / given;
  const stretched = Math.max(1, scale);
  const reach = (method === "area" ? 0.5 : 1) * stretched;
  const first = new Int32Array(given);
  const weights: Float64Array[] = [];
  for (let i = 0; i < given; i++) {
    const centre = (i + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(taken, Math.trunc(centre + reach + 0.5));
    const some = Float64Array.from({ length: end - begin }, (_, j) => {
      const distance = (j + begin - centre + 0.5) * (1 / stretched);
      if (method === "area") return distance > -0.5 && distance <= 0.5 ? 1 : 0;
      return Math.max(0, 1 - Math.abs(distance));
    });
    const sum = some.reduce((a, b) => a + b, 0);
    first[i] = begin;
    weights.push(sum === 0 ? some : some.map((weight) => weight / sum));
  }
  return { first, weights };
}

/** Return the weights as whole numbers of 2^-22. */
function wholeNumbers({ first, weights }: Filter): Filter {
  return {
    first,
    weights: weights.map((some) => some.map((weight) => Math.trunc(0.5 + weight * 2 ** BITS))),
  };
}

type Bytes = Uint8Array | Uint8ClampedArray;

function alongRows(data: Bytes, height: number, width: number, channels: number, filter: Filter): Bytes {
  const result = new Uint8ClampedArray(height * filter.first.length * channels);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < filter.first.length; column++) {
      const from = (row * width + filter.first[column]!) * channels;
      const weights = filter.weights[column]!;
      for (let c = 0; c < channels; c++) {
        let sum = 2 ** (BITS - 1);
        for (let i = 0; i < weights.length; i++) sum += data[from + i * channels + c]! * weights[i]!;
        result[to++] = sum >> BITS;
      }
    }
  }
  return result;
}

function alongColumns(data: Bytes, count: number, filter: Filter): Bytes {
  const result = new Uint8ClampedArray(filter.first.length * count);
  const sums = new Float64Array(count);
  filter.weights.forEach((weights, row) => {
    sums.fill(2 ** (BITS - 1));
    weights.forEach((weight, i) => {
      const from = (filter.first[row]! + i) * count;
      for (let j = 0; j < count; j++) sums[j]! += data[from + j]! * weight;
    });
    for (let j = 0; j < count; j++) result[row * count + j] = sums[j]! >> BITS;
  });
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
