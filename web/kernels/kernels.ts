/**
 * The operations that take the time, in 128-bit SIMD. AssemblyScript: TypeScript's syntax, compiled to WebAssembly.
 *
 * Maps lie in memory height by width by channels, in float32, and every pixel takes a multiple of four values. All
 * pointers are in bytes. simd.ts calls these functions; plain.ts has the same ones to read.
 */

// @ts-ignore: decorator
@inline
function multiplyAdd(a: v128, b: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, sum);
  return f32x4.add(f32x4.mul(a, b), sum);
}

// @ts-ignore: decorator
@inline
function clamp(value: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(high, f32x4.pmax(low, value));
}

// @ts-ignore: decorator
@inline
function finish(y: usize, add: usize, at: usize, a: v128, b: v128, low: v128, high: v128): void {
  if (add) {
    a = f32x4.add(a, v128.load(add + at));
    b = f32x4.add(b, v128.load(add + at, 16));
  }
  v128.store(y + at, clamp(a, low, high));
  v128.store(y + at, clamp(b, low, high), 16);
}

/**
 * A 1x1 convolution: y = clamp(x · w + bias + add) for n pixels.
 *
 * A tile is four pixels by eight channels given: eight sums that stay in registers. The last tile begins early
 * enough to end with the last pixel; below four pixels it reads and writes up to three behind the map.
 *
 * x (n, taken), w (given / 8, taken, 8), bias (given), add (n, given) or 0, y (n, given); taken is a multiple of 4,
 * given one of 8.
 */
export function pointwise(
  x: usize, w: usize, bias: usize, add: usize, y: usize, n: i32, taken: i32, given: i32, least: f32, most: f32,
): void {
  const low = f32x4.splat(least);
  const high = f32x4.splat(most);
  const xPixel = <usize>taken * 4;
  const yPixel = <usize>given * 4;
  const rows = (n + 3) / 4;
  const columns = given / 8;
  // What is larger, the weights or the map, is read once.
  const weightsOnce = given > n;
  for (let tile = 0; tile < rows * columns; tile++) {
    const row = weightsOnce ? tile % rows : tile / columns;
    const column = weightsOnce ? tile / rows : tile % columns;
    const pixel = <usize>max(min(4 * row, n - 4), 0);
    const channel = <usize>column * 32;
    let weight = w + <usize>column * 8 * xPixel;
    let x0 = x + pixel * xPixel;
    let x1 = x0 + xPixel;
    let x2 = x1 + xPixel;
    let x3 = x2 + xPixel;
    let a0 = v128.load(bias + channel);
    let b0 = v128.load(bias + channel, 16);
    let a1 = a0, a2 = a0, a3 = a0;
    let b1 = b0, b2 = b0, b3 = b0;
    for (const end = x1; x0 < end; ) {
      const p0 = v128.load(x0);
      const p1 = v128.load(x1);
      const p2 = v128.load(x2);
      const p3 = v128.load(x3);
      let wa = v128.load(weight);
      let wb = v128.load(weight, 16);
      let value = v128.shuffle<f32>(p0, p0, 0, 0, 0, 0);
      a0 = multiplyAdd(value, wa, a0);
      b0 = multiplyAdd(value, wb, b0);
      value = v128.shuffle<f32>(p1, p1, 0, 0, 0, 0);
      a1 = multiplyAdd(value, wa, a1);
      b1 = multiplyAdd(value, wb, b1);
      value = v128.shuffle<f32>(p2, p2, 0, 0, 0, 0);
      a2 = multiplyAdd(value, wa, a2);
      b2 = multiplyAdd(value, wb, b2);
      value = v128.shuffle<f32>(p3, p3, 0, 0, 0, 0);
      a3 = multiplyAdd(value, wa, a3);
      b3 = multiplyAdd(value, wb, b3);
      wa = v128.load(weight, 32);
      wb = v128.load(weight, 48);
      value = v128.shuffle<f32>(p0, p0, 1, 1, 1, 1);
      a0 = multiplyAdd(value, wa, a0);
      b0 = multiplyAdd(value, wb, b0);
      value = v128.shuffle<f32>(p1, p1, 1, 1, 1, 1);
      a1 = multiplyAdd(value, wa, a1);
      b1 = multiplyAdd(value, wb, b1);
      value = v128.shuffle<f32>(p2, p2, 1, 1, 1, 1);
      a2 = multiplyAdd(value, wa, a2);
      b2 = multiplyAdd(value, wb, b2);
      value = v128.shuffle<f32>(p3, p3, 1, 1, 1, 1);
      a3 = multiplyAdd(value, wa, a3);
      b3 = multiplyAdd(value, wb, b3);
      wa = v128.load(weight, 64);
      wb = v128.load(weight, 80);
      value = v128.shuffle<f32>(p0, p0, 2, 2, 2, 2);
      a0 = multiplyAdd(value, wa, a0);
      b0 = multiplyAdd(value, wb, b0);
      value = v128.shuffle<f32>(p1, p1, 2, 2, 2, 2);
      a1 = multiplyAdd(value, wa, a1);
      b1 = multiplyAdd(value, wb, b1);
      value = v128.shuffle<f32>(p2, p2, 2, 2, 2, 2);
      a2 = multiplyAdd(value, wa, a2);
      b2 = multiplyAdd(value, wb, b2);
      value = v128.shuffle<f32>(p3, p3, 2, 2, 2, 2);
      a3 = multiplyAdd(value, wa, a3);
      b3 = multiplyAdd(value, wb, b3);
      wa = v128.load(weight, 96);
      wb = v128.load(weight, 112);
      value = v128.shuffle<f32>(p0, p0, 3, 3, 3, 3);
      a0 = multiplyAdd(value, wa, a0);
      b0 = multiplyAdd(value, wb, b0);
      value = v128.shuffle<f32>(p1, p1, 3, 3, 3, 3);
      a1 = multiplyAdd(value, wa, a1);
      b1 = multiplyAdd(value, wb, b1);
      value = v128.shuffle<f32>(p2, p2, 3, 3, 3, 3);
      a2 = multiplyAdd(value, wa, a2);
      b2 = multiplyAdd(value, wb, b2);
      value = v128.shuffle<f32>(p3, p3, 3, 3, 3, 3);
      a3 = multiplyAdd(value, wa, a3);
      b3 = multiplyAdd(value, wb, b3);
      weight += 128;
      x0 += 16;
      x1 += 16;
      x2 += 16;
      x3 += 16;
    }
    let at = pixel * yPixel + channel;
    finish(y, add, at, a0, b0, low, high);
    at += yPixel;
    finish(y, add, at, a1, b1, low, high);
    at += yPixel;
    finish(y, add, at, a2, b2, low, high);
    at += yPixel;
    finish(y, add, at, a3, b3, low, high);
  }
}

/**
 * Write the windows of `count` pixels of a convolution's map as rows, for `pointwise` to multiply.
 *
 * x (height, width, pixel), y (count, kernel, kernel, pixel) with zeros beyond the map; pixel is a multiple of 4.
 */
export function windows(
  x: usize, y: usize, height: i32, width: i32, pixel: i32,
  kernel: i32, stride: i32, before: i32, across: i32, first: i32, count: i32,
): void {
  const bytes = <usize>pixel * 4;
  const zero = f32x4.splat(0);
  for (let p = first; p < first + count; p++) {
    const top = (p / across) * stride - before;
    const left = (p % across) * stride - before;
    for (let r = top; r < top + kernel; r++) {
      for (let c = left; c < left + kernel; c++) {
        const end = y + bytes;
        if (r < 0 || r >= height || c < 0 || c >= width) {
          for (; y < end; y += 16) v128.store(y, zero);
        } else {
          let from = x + <usize>(r * width + c) * bytes;
          for (; y < end; y += 16, from += 16) v128.store(y, v128.load(from));
        }
      }
    }
  }
}

/**
 * A depthwise convolution: one kernel for each channel, zeros around the map, biases, clamp.
 *
 * x (height, width, pixel), w (kernel, kernel, pixel), bias (pixel), y (down, across, pixel); pixel is a multiple
 * of 4. Four neighbours in a row share each weight; at the map's sides pixels are computed one by one.
 */
export function depthwise(
  x: usize, w: usize, bias: usize, y: usize, height: i32, width: i32, pixel: i32,
  kernel: i32, stride: i32, before: i32, down: i32, across: i32, least: f32, most: f32,
): void {
  const low = f32x4.splat(least);
  const high = f32x4.splat(most);
  const bytes = <usize>pixel * 4;
  const step = <usize>stride * bytes;
  const line = <usize>width * bytes;
  const weightLine = <usize>kernel * bytes;
  for (let row = 0; row < down; row++) {
    const top = row * stride - before;
    const firstRow = max(0, -top);
    const rows = min(kernel, height - top) - firstRow;
    for (let column = 0; column < across; ) {
      const left = column * stride - before;
      const firstColumn = max(0, -left);
      const columns = min(kernel, width - left) - firstColumn;
      const from = x + <usize>((top + firstRow) * width + left + firstColumn) * bytes;
      const weight = w + <usize>(firstRow * kernel + firstColumn) * bytes;
      const isInside = left >= 0 && left + 3 * stride + kernel <= width && column + 4 <= across;
      if (isInside) {
        for (let channel: usize = 0; channel < bytes; channel += 16) {
          let a0 = v128.load(bias + channel);
          let a1 = a0, a2 = a0, a3 = a0;
          let fromRow = from + channel;
          let weightRow = weight + channel;
          for (let r = 0; r < rows; r++) {
            let at0 = fromRow;
            let at1 = at0 + step;
            let at2 = at1 + step;
            let at3 = at2 + step;
            for (let at = weightRow, end = at + weightLine; at < end; at += bytes) {
              const value = v128.load(at);
              a0 = multiplyAdd(v128.load(at0), value, a0);
              a1 = multiplyAdd(v128.load(at1), value, a1);
              a2 = multiplyAdd(v128.load(at2), value, a2);
              a3 = multiplyAdd(v128.load(at3), value, a3);
              at0 += bytes;
              at1 += bytes;
              at2 += bytes;
              at3 += bytes;
            }
            fromRow += line;
            weightRow += weightLine;
          }
          v128.store(y + channel, clamp(a0, low, high));
          v128.store(y + bytes + channel, clamp(a1, low, high));
          v128.store(y + 2 * bytes + channel, clamp(a2, low, high));
          v128.store(y + 3 * bytes + channel, clamp(a3, low, high));
        }
        column += 4;
        y += 4 * bytes;
        continue;
      }
      for (let channel: usize = 0; channel < bytes; channel += 16) {
        let sum = v128.load(bias + channel);
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) {
            const offset = <usize>c * bytes + channel;
            const value = v128.load(weight + <usize>r * weightLine + offset);
            sum = multiplyAdd(v128.load(from + <usize>r * line + offset), value, sum);
          }
        }
        v128.store(y + channel, clamp(sum, low, high));
      }
      column++;
      y += bytes;
    }
  }
}

/**
 * A 2x2 max-pool that keeps positions: 0 to 3 row by row, the first of equal values.
 *
 * x (height, width, pixel), y (height / 2, width / 2, pixel), codes as y with a byte a value.
 */
export function pool(x: usize, y: usize, codes: usize, height: i32, width: i32, pixel: i32): void {
  const bytes = <usize>pixel * 4;
  const below = <usize>width * bytes;
  for (let row = 0; row < height / 2; row++) {
    for (let column = 0; column < width / 2; column++) {
      const from = x + <usize>(2 * row * width + 2 * column) * bytes;
      for (let channel: usize = 0; channel < bytes; channel += 16) {
        let best = v128.load(from + channel);
        let code = i32x4.splat(0);
        let next = v128.load(from + bytes + channel);
        let larger = f32x4.gt(next, best);
        best = v128.bitselect(next, best, larger);
        code = v128.bitselect(i32x4.splat(1), code, larger);
        next = v128.load(from + below + channel);
        larger = f32x4.gt(next, best);
        best = v128.bitselect(next, best, larger);
        code = v128.bitselect(i32x4.splat(2), code, larger);
        next = v128.load(from + below + bytes + channel);
        larger = f32x4.gt(next, best);
        best = v128.bitselect(next, best, larger);
        code = v128.bitselect(i32x4.splat(3), code, larger);
        v128.store(y, best);
        const narrow = i8x16.shuffle(code, code, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
        v128.store32_lane(codes, narrow, 0);
        y += 16;
        codes += 4;
      }
    }
  }
}

/**
 * Put each value where its maximum was, zeros elsewhere, and add a map.
 *
 * x (height / 2, width / 2, pixel), codes as x with a byte a value, add (height, width, pixel) or 0,
 * y (height, width, pixel).
 */
export function unpool(x: usize, codes: usize, add: usize, y: usize, height: i32, width: i32, pixel: i32): void {
  const bytes = <usize>pixel * 4;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const inside = row < (height & ~1) && column < (width & ~1);
      const small = <usize>((row >> 1) * (width >> 1) + (column >> 1)) * pixel;
      const position = i32x4.splat(((row & 1) << 1) | (column & 1));
      const from = x + small * 4;
      for (let channel: usize = 0; channel < bytes; channel += 16) {
        let value = f32x4.splat(0);
        if (inside) {
          const four = v128.load32_zero(codes + small + (channel >> 2));
          const code = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(four));
          value = v128.and(v128.load(from + channel), i32x4.eq(code, position));
        }
        if (add) {
          value = f32x4.add(value, v128.load(add));
          add += 16;
        }
        v128.store(y, value);
        y += 16;
      }
    }
  }
}

/** Double height and width, each value four times, and add a map (2 height, 2 width, pixel) or nothing (0). */
export function upsample(x: usize, add: usize, y: usize, height: i32, width: i32, pixel: i32): void {
  const bytes = <usize>pixel * 4;
  for (let row = 0; row < 2 * height; row++) {
    for (let column = 0; column < 2 * width; column++) {
      const from = x + <usize>((row >> 1) * width + (column >> 1)) * bytes;
      for (let channel: usize = 0; channel < bytes; channel += 16) {
        let value = v128.load(from + channel);
        if (add) {
          value = f32x4.add(value, v128.load(add));
          add += 16;
        }
        v128.store(y, value);
        y += 16;
      }
    }
  }
}
