/** Other ways to un-pool, to see what the positions are worth. */

import type { Tensor } from "./operations.ts";

/**
 * Where an un-pool puts a value: at its maximum's position, as a SegNet does; in the first pixel of its window; in a
 * random one; in all four; or blended with its neighbours.
 */
export type Unpooling = "positions" | "first" | "random" | "everywhere" | "bilinear";

/** Write other positions over a pool's, where that is all that another way changes. */
export function moveMaxima(codes: Uint8Array, unpooling: Unpooling): void {
  if (unpooling === "first") codes.fill(0);
  if (unpooling !== "random") return;
  let state = 1; // the same positions each time: a linear congruential generator
  for (let i = 0; i < codes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    codes[i] = state >>> 30;
  }
}

/** Enlarge a map to another's size, each value four times or blended bilinearly, and add a map. */
export function enlarge(x: Tensor, blended: boolean, add: Tensor | null, y: Tensor): void {
  const places = (taken: number, given: number): [number, number, number][] =>
    Array.from({ length: given }, (_, i) => {
      const place = Math.min(taken - 1, Math.max(0, (i + 0.5) / 2 - 0.5));
      const before = Math.floor(place);
      if (!blended) return [Math.min(taken - 1, i >> 1), Math.min(taken - 1, i >> 1), 0];
      return [before, Math.min(taken - 1, before + 1), place - before];
    });
  const columns = places(x.width, y.width);
  places(x.height, y.height).forEach(([above, below, down], row) => {
    columns.forEach(([left, right, along], column) => {
      const to = (row * y.width + column) * y.pixel;
      for (let c = 0; c < y.channels; c++) {
        const value = (r: number, k: number): number => x.data[(r * x.width + k) * x.pixel + c]!;
        const upper = value(above, left) * (1 - along) + value(above, right) * along;
        const lower = value(below, left) * (1 - along) + value(below, right) * along;
        y.data[to + c] = upper * (1 - down) + lower * down + (add ? add.data[to + c]! : 0);
      }
    });
  });
}
