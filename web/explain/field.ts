/** The receptive field: which pixels of the image a value of a map was computed from. */

import type { Layer } from "../engine/index.ts";

/** Rows `top` to `bottom - 1` and columns `left` to `right - 1`. */
export interface Box {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/**
 * Returns the pixels of the image that can change a value of a map, layer by layer back to the image. The box may
 * reach beyond the image, where a layer's zeros are.
 */
export function receptiveField(layers: readonly Layer[], tensor: number, row: number, column: number): Box {
  const boxes: (Box | undefined)[] = [];
  boxes[tensor] = { top: row, left: column, bottom: row + 1, right: column + 1 };
  const reach = (which: number, box: Box): void => {
    boxes[which] = boxes[which] ? around(boxes[which], box) : box;
  };
  for (let at = tensor; at > 0; at--) {
    const box = boxes[at];
    const layer = layers[at - 1]!;
    if (!box) continue;
    reach(layer.from, before(layer, box));
    if ("add" in layer && layer.add !== undefined) reach(layer.add, box);
    if (layer.op === "unpool") reach(layer.codes, before(layer, box));
  }
  return boxes[0]!;
}

/** Returns what a layer reads for a box of its map. */
function before(layer: Layer, { top, left, bottom, right }: Box): Box {
  switch (layer.op) {
    case "conv":
    case "depthwise": {
      const first = (place: number): number => place * layer.stride - layer.pad[0];
      const last = (place: number): number => first(place - 1) + layer.kernel;
      return { top: first(top), left: first(left), bottom: last(bottom), right: last(right) };
    }
    case "pool":
      return { top: 2 * top, left: 2 * left, bottom: 2 * bottom, right: 2 * right };
    case "unpool":
    case "upsample":
      return divided({ top, left, bottom, right }, 2);
    case "shuffle":
      return divided({ top, left, bottom, right }, layer.factor);
  }
}

function divided({ top, left, bottom, right }: Box, by: number): Box {
  const [down, up] = [(side: number) => Math.floor(side / by), (side: number) => Math.ceil(side / by)];
  return { top: down(top), left: down(left), bottom: up(bottom), right: up(right) };
}

function around(a: Box, b: Box): Box {
  return {
    top: Math.min(a.top, b.top),
    left: Math.min(a.left, b.left),
    bottom: Math.max(a.bottom, b.bottom),
    right: Math.max(a.right, b.right),
  };
}

/** Returns the part of a box that lies in the image. */
export function inside({ top, left, bottom, right }: Box, height: number, width: number): Box {
  return {
    top: Math.max(0, top),
    left: Math.max(0, left),
    bottom: Math.min(height, bottom),
    right: Math.min(width, right),
  };
}
