/** Maps as pictures: 0 is dark, positive values go through orange to white, negative ones through blue. */

import type { FeatureMap } from "../engine/index.ts";

const STEPS = 255;
const NEGATIVE = [
  [10, 11, 14],
  [32, 92, 190],
  [190, 225, 255],
] as const;
const POSITIVE = [
  [10, 11, 14],
  [222, 110, 0],
  [255, 242, 205],
] as const;

/** Colours of -STEPS to STEPS as a canvas stores them. */
const COLOURS = Uint32Array.from({ length: 2 * STEPS + 1 }, (_, i) => {
  const share = (i - STEPS) / STEPS;
  const [dark, middle, light] = share < 0 ? NEGATIVE : POSITIVE;
  const size = Math.abs(share);
  const [from, to, along] = size < 0.5 ? [dark, middle, 2 * size] : [middle, light, 2 * size - 1];
  const bytes = from.map((value, c) => Math.round(value + (to[c]! - value) * along));
  return new Uint32Array(Uint8Array.of(...bytes, 255).buffer)[0]!;
});

const small = document.createElement("canvas");

export function context2d(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: canvas === small });
  if (!context) throw new Error("this browser gives the page no canvas");
  return context;
}

/** Returns a colour for a value as CSS takes it, where `most` is the largest in size. */
export function colourOf(value: number, most: number): string {
  const [red, green, blue] = new Uint8Array(Uint32Array.of(COLOURS[step(value, most)]!).buffer);
  return `rgb(${red} ${green} ${blue})`;
}

function step(value: number, most: number): number {
  return STEPS + (most > 0 ? Math.max(-STEPS, Math.min(STEPS, Math.round((STEPS * value) / most))) : 0);
}

/** Returns the size of a channel's value that is farthest from 0. */
export function largest({ data, channels }: FeatureMap, channel: number): number {
  let most = 0;
  for (let i = channel; i < data.length; i += channels) most = Math.max(most, Math.abs(data[i]!));
  return most;
}

/** Draws one channel of a map into a rectangle; `most` is what is drawn brightest. */
export function drawMap(
  context: CanvasRenderingContext2D,
  map: FeatureMap,
  channel: number,
  [x, y, width, height]: readonly [number, number, number, number],
  most = largest(map, channel),
): void {
  const { data, channels } = map;
  const pixels = new ImageData(map.width, map.height);
  const into = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < into.length; i++) into[i] = COLOURS[step(data[i * channels + channel]!, most)]!;
  [small.width, small.height] = [map.width, map.height];
  context2d(small).putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = map.width > width;
  context.drawImage(small, x, y, width, height);
}

/** Gives a canvas as many pixels as the screen has in its place, and returns how to draw in CSS pixels. */
export function fitted(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.min(2, devicePixelRatio, Math.sqrt(16e6 / (width * height)));
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = context2d(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
