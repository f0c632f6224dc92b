/** The operations as WebAssembly, 128-bit SIMD; kernels/kernels.ts has them in AssemblyScript. */

import { RELAXED_SIMD, SIMD } from "./kernels.generated.ts";
import type { Operations, Operator, Tensor } from "./operations.ts";
import { upTo, type Shape } from "./shapes.ts";

const PAGE_BYTES = 1 << 16;
const BLOCK = 8; // channels given that the kernel of 1x1 convolutions computes at once
const WINDOWS_BYTES = 1 << 17; // of windows that are laid out at a time, so that they stay in a cache
const LEAST_WINDOWS = 64;
const TILE = 4; // pixels that it computes at once

type Call = (...numbers: number[]) => void;
type Kernels = Record<"pointwise" | "windows" | "depthwise" | "pool" | "unpool" | "upsample", Call>;

/** Return the operations with or without relaxed SIMD, or null where this machine has no such instructions. */
export async function simdOperator(relaxed: boolean): Promise<Operator | null> {
  const bytes = Uint8Array.from(atob(relaxed ? RELAXED_SIMD : SIMD), (letter) => letter.charCodeAt(0));
  if (typeof WebAssembly === "undefined" || !WebAssembly.validate(bytes)) return null;
  const module = await WebAssembly.compile(bytes);
  return { packConv, scratch: scratchOf, open: (bytes) => open(module, bytes) };
}

function open(module: WebAssembly.Module, bytes: number): Operations {
  const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
  const at = (map: Tensor | null): number => map?.data.byteOffset ?? 0;
  return {
    memory: memory.buffer,
    conv(x, { kernel, stride, before, weights, bias, least, most }, scratch, add, y) {
      const multiply = (from: number, taken: number, first: number, count: number): void => {
        const offset = first * y.pixel * 4;
        kernels.pointwise(
          from,
          weights.byteOffset,
          bias.byteOffset,
          add ? at(add) + offset : 0,
          at(y) + offset,
          count,
          taken,
          y.pixel,
          least,
          most,
        );
      };
      const pixels = y.height * y.width;
      if (isPointwise(kernel, stride)) return multiply(at(x), x.pixel, 0, pixels);
      const [atOnce, row] = [windowsAtOnce(kernel, x, y), rowOf(kernel, x)];
      for (let first = 0; first < pixels; first += atOnce) {
        const count = Math.min(atOnce, pixels - first);
        const size = [x.height, x.width, x.pixel];
        kernels.windows(at(x), scratch.byteOffset, ...size, kernel, stride, before, y.width, first, count);
        multiply(scratch.byteOffset, row, first, count);
      }
    },
    depthwise(x, { kernel, stride, before, weights, bias, least, most }, y) {
      const pointers = [at(x), weights.byteOffset, bias.byteOffset, at(y)];
      const size = [x.height, x.width, x.pixel];
      kernels.depthwise(...pointers, ...size, kernel, stride, before, y.height, y.width, least, most);
    },
    pool: (x, y, codes) => kernels.pool(at(x), at(y), codes.byteOffset, x.height, x.width, x.pixel),
    unpool: (x, codes, add, y) =>
      kernels.unpool(at(x), codes.byteOffset, at(add), at(y), y.height, y.width, y.pixel),
    upsample: (x, add, y) => kernels.upsample(at(x), at(add), at(y), x.height, x.width, x.pixel),
  };
}

function isPointwise(size: number, stride: number): boolean {
  return size === 1 && stride === 1;
}

/** Return how many values of the map a pixel is computed from, as `pointwise` takes them. */
function rowOf(size: number, x: Shape): number {
  return size ** 2 * x.pixel;
}

function windowsAtOnce(size: number, x: Shape, y: Shape): number {
  const fitting = Math.floor(WINDOWS_BYTES / 4 / rowOf(size, x));
  return upTo(TILE, Math.min(Math.max(LEAST_WINDOWS, fitting), y.height * y.width));
}

function scratchOf(size: number, stride: number, x: Shape, y: Shape): number {
  return isPointwise(size, stride) ? 0 : windowsAtOnce(size, x, y) * rowOf(size, x);
}

/** Return a kernel (row, column, taken, given) as (given / 8, taken by a pixel, 8), filled up with zeros. */
function packConv(kernel: Float32Array, size: number, x: Shape, y: Shape): Float32Array {
  const row = rowOf(size, x);
  const packed = new Float32Array(row * y.pixel);
  kernel.forEach((value, i) => {
    const [tap, taken] = [Math.floor(i / y.channels / x.channels), Math.floor(i / y.channels) % x.channels];
    const given = i % y.channels;
    const place = Math.floor(given / BLOCK) * row + tap * x.pixel + taken;
    packed[place * BLOCK + (given % BLOCK)] = value;
  });
  return packed;
}
