/** A pool's codes as pictures, and what becomes of a pooled channel with and without them. */

import type { FeatureMap } from "../engine/index.ts";

/** Upper left, upper right, lower left, lower right: told apart also without red and green. */
export const CORNERS = ["#56b4e9", "#f0e442", "#d55e00", "#ffffff"];
const ARROWS_FROM_PX = 14;

/** Draws arrows to the corners where there is room for them, else a square of the corner's colour. */
export function drawCodes(
  context: CanvasRenderingContext2D,
  [width, height]: readonly [number, number],
  codes: Uint8Array,
  map: FeatureMap,
  channel: number,
): void {
  const [w, h] = [width / map.width, height / map.height];
  for (let row = 0; row < map.height; row++) {
    for (let column = 0; column < map.width; column++) {
      const at = (row * map.width + column) * map.channels + channel;
      const [right, down] = [codes[at]! & 1, codes[at]! >> 1];
      context.strokeStyle = context.fillStyle = CORNERS[codes[at]!]!;
      context.globalAlpha = map.data[at] ? 1 : 0.35; // of four zeros the first is as good as any
      if (w < ARROWS_FROM_PX) context.fillRect((column + right / 2) * w, (row + down / 2) * h, w / 2, h / 2);
      else arrow(context, (column + 0.5) * w, (row + 0.5) * h, 2 * right - 1, 2 * down - 1, w * 0.32);
    }
  }
  context.globalAlpha = 1;
}

function arrow(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  right: number,
  down: number,
  size: number,
): void {
  const [tx, ty] = [x + right * size, y + down * size];
  context.lineWidth = Math.max(1.25, size / 5);
  context.beginPath();
  context.moveTo(x - right * size * 0.7, y - down * size * 0.7);
  context.lineTo(tx, ty);
  context.moveTo(tx - right * size * 0.8, ty);
  context.lineTo(tx, ty);
  context.lineTo(tx, ty - down * size * 0.8);
  context.stroke();
}

/** Returns one channel with each value at its maximum's place, 0 elsewhere, in the size before the pool. */
export function unpooled(
  map: FeatureMap,
  codes: Uint8Array,
  channel: number,
  { height, width }: FeatureMap,
): FeatureMap {
  const data = new Float32Array(height * width);
  for (let row = 0; row < map.height; row++) {
    for (let column = 0; column < map.width; column++) {
      const at = (row * map.width + column) * map.channels + channel;
      const code = codes[at]!;
      data[(2 * row + (code >> 1)) * width + 2 * column + (code & 1)] = map.data[at]!;
    }
  }
  return { height, width, channels: 1, data };
}

/** Returns one channel enlarged bilinearly to the size before the pool, as PyTorch does it. */
export function enlarged(map: FeatureMap, channel: number, { height, width }: FeatureMap): FeatureMap {
  const value = (row: number, column: number): number =>
    map.data[(row * map.width + column) * map.channels + channel]!;
  const place = (i: number, count: number): [number, number, number] => {
    const at = Math.min(count - 1, Math.max(0, (i + 0.5) / 2 - 0.5));
    return [Math.floor(at), Math.min(count - 1, Math.floor(at) + 1), at % 1];
  };
  const data = Float32Array.from({ length: height * width }, (_, i) => {
    const [above, below, down] = place(Math.floor(i / width), map.height);
    const [left, right, along] = place(i % width, map.width);
    const upper = value(above, left) * (1 - along) + value(above, right) * along;
    const lower = value(below, left) * (1 - along) + value(below, right) * along;
    return upper * (1 - down) + lower * down;
  });
  return { height, width, channels: 1, data };
}
