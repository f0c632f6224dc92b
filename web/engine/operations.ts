/** What a backend does: one function for each kind of layer, on maps in one memory. */

import type { Shape } from "./shapes.ts";

/** A map in memory, height by width by `pixel` values, of which `channels` count. */
export interface Tensor extends Shape {
  data: Float32Array;
}

export interface Convolution {
  kernel: number;
  stride: number;
  /** Rows and columns of zeros before the map. */
  before: number;
  /** The kernel's weights, as `packConv` lays them out; of a depthwise convolution row, column, `pixel`. */
  weights: Float32Array;
  bias: Float32Array;
  /** What the sums are limited to. */
  least: number;
  most: number;
}

/** A backend before it has a memory. */
export interface Operator {
  /** Lay the kernel of a convolution (row, column, channel taken, channel given) out for `conv`. */
  packConv(kernel: Float32Array, size: number, x: Shape, y: Shape): Float32Array;
  /** Return how many values `conv` needs beside the maps. */
  scratch(size: number, stride: number, x: Shape, y: Shape): number;
  /** Take a memory of so many bytes. */
  open(bytes: number): Operations;
}

export interface Operations {
  /** The memory that maps, codes and weights lie in. */
  readonly memory: ArrayBuffer;
  conv(x: Tensor, layer: Convolution, scratch: Float32Array, add: Tensor | null, y: Tensor): void;
  depthwise(x: Tensor, layer: Convolution, y: Tensor): void;
  pool(x: Tensor, y: Tensor, codes: Uint8Array): void;
  unpool(x: Tensor, codes: Uint8Array, add: Tensor | null, y: Tensor): void;
  upsample(x: Tensor, add: Tensor | null, y: Tensor): void;
}
