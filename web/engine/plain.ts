/** The operations in plain TypeScript: what to read, what tests compare with, and what runs without SIMD. */

import type { Convolution, Operator, Tensor } from "./operations.ts";

export const PLAIN: Operator = {
  packConv: (kernel) => kernel,
  scratch: () => 0,
  open: (bytes) => ({ memory: new ArrayBuffer(bytes), conv, depthwise, pool, unpool, upsample }),
};

function conv(x: Tensor, layer: Convolution, _: Float32Array, add: Tensor | null, y: Tensor): void {
  const sums = new Float32Array(y.channels);
  forEachWindow(x, layer, y, (pixel, taps) => {
    sums.set(layer.bias.subarray(0, y.channels));
    for (const [from, tap] of taps) {
      for (let i = 0; i < x.channels; i++) {
        const value = x.data[from + i]!;
        const weight = (tap * x.channels + i) * y.channels;
        for (let o = 0; o < y.channels; o++) sums[o]! += value * layer.weights[weight + o]!;
      }
    }
    for (let o = 0; o < y.channels; o++) {
      const sum = sums[o]! + (add ? add.data[pixel + o]! : 0);
      y.data[pixel + o] = Math.min(layer.most, Math.max(layer.least, sum));
    }
  });
}

function depthwise(x: Tensor, layer: Convolution, y: Tensor): void {
  forEachWindow(x, layer, y, (pixel, taps) => {
    for (let c = 0; c < y.channels; c++) {
      let sum = layer.bias[c]!;
      for (const [from, tap] of taps) sum += x.data[from + c]! * layer.weights[tap * y.pixel + c]!;
      y.data[pixel + c] = Math.min(layer.most, Math.max(layer.least, sum));
    }
  });
}

/** Visit each pixel of a convolution's map with the pixels that its kernel covers: where, and under which weight. */
function forEachWindow(
  x: Tensor,
  { kernel, stride, before }: Convolution,
  y: Tensor,
  visit: (pixel: number, taps: [from: number, tap: number][]) => void,
): void {
  for (let row = 0; row < y.height; row++) {
    for (let column = 0; column < y.width; column++) {
      const taps: [number, number][] = [];
      for (let r = 0; r < kernel; r++) {
        for (let c = 0; c < kernel; c++) {
          const [top, left] = [row * stride - before + r, column * stride - before + c];
          const inside = top >= 0 && top < x.height && left >= 0 && left < x.width;
          if (inside) taps.push([(top * x.width + left) * x.pixel, r * kernel + c]);
        }
      }
      visit((row * y.width + column) * y.pixel, taps);
    }
  }
}

function pool(x: Tensor, y: Tensor, codes: Uint8Array): void {
  for (let row = 0; row < y.height; row++) {
    for (let column = 0; column < y.width; column++) {
      const to = (row * y.width + column) * y.pixel;
      for (let c = 0; c < y.channels; c++) {
        let best = -Infinity;
        for (let code = 0; code < 4; code++) {
          const value = x.data[((2 * row + (code >> 1)) * x.width + 2 * column + (code & 1)) * x.pixel + c]!;
          if (code > 0 && !(value > best)) continue;
          best = value;
          codes[to + c] = code;
        }
        y.data[to + c] = best;
      }
    }
  }
}

function unpool(x: Tensor, codes: Uint8Array, add: Tensor | null, y: Tensor): void {
  for (let i = 0; i < y.height * y.width * y.pixel; i++) y.data[i] = add ? add.data[i]! : 0;
  for (let row = 0; row < x.height; row++) {
    for (let column = 0; column < x.width; column++) {
      const from = (row * x.width + column) * x.pixel;
      for (let c = 0; c < x.channels; c++) {
        const code = codes[from + c]!;
        const to = ((2 * row + (code >> 1)) * y.width + 2 * column + (code & 1)) * y.pixel + c;
        y.data[to]! += x.data[from + c]!;
      }
    }
  }
}

function upsample(x: Tensor, add: Tensor | null, y: Tensor): void {
  for (let row = 0; row < y.height; row++) {
    for (let column = 0; column < y.width; column++) {
      const from = ((row >> 1) * x.width + (column >> 1)) * x.pixel;
      const to = (row * y.width + column) * y.pixel;
      for (let c = 0; c < x.channels; c++) y.data[to + c] = x.data[from + c]! + (add ? add.data[to + c]! : 0);
    }
  }
}
