/** A mask as pixels that lie over the photo: regions tinted and outlined, or the classes' colours alone. */

import type { Header, Segmentation } from "../engine/index.ts";

const TINT = 128;
const LINES_ACROSS = 220; // an outline is this part of the photo's shorter side, as in Python's overlay
const BARE = 255; // a pixel that shows the photo

/** Which pixel value each class id gets; the second half of `colours` is for outlines. */
export interface Paints {
  /** Class ids that look different, BARE for those that show the photo. */
  shown: Uint8Array;
  colours: Uint32Array;
  outlined: boolean;
}

/** The photo with the classes laid over it; the background and hidden classes stay bare. */
export function overlayPaints(header: Header, hidden: ReadonlySet<number>): Paints {
  const bare = new Set(hidden);
  if (header.background !== null) bare.add(header.background);
  const paints = fill(header, bare, TINT);
  paints.colours[256 + BARE] = pixel([255, 255, 255], 217); // a white line where a region meets the bare photo
  return { ...paints, outlined: true };
}

/** The classes' colours; hidden ones are left out. */
export function maskPaints(header: Header, hidden: ReadonlySet<number>): Paints {
  return { ...fill(header, hidden, 255), outlined: false };
}

function fill(header: Header, bare: ReadonlySet<number>, alpha: number): Omit<Paints, "outlined"> {
  const shown = new Uint8Array(256).fill(BARE);
  const colours = new Uint32Array(512);
  header.classes.colours.forEach((colour, id) => {
    if (bare.has(id)) return;
    shown[id] = id;
    colours[id] = pixel(colour, alpha);
    colours[256 + id] = pixel(colour, 255);
  });
  return { shown, colours };
}

/** A pixel as a canvas stores it: red, green, blue, alpha in this order of bytes. */
function pixel([red, green, blue]: readonly [number, number, number], alpha: number): number {
  return new Uint32Array(Uint8Array.of(red, green, blue, alpha).buffer)[0]!;
}

/** Paints masks, and keeps its buffer from one to the next of the same size. */
export class Painter {
  private ids = new Uint8Array(0);

  /** Writes one pixel for each of the mask's. */
  paint({ mask, width, height }: Segmentation, paints: Paints, into: Uint32Array): void {
    const { shown, colours } = paints;
    if (!paints.outlined) {
      for (let i = 0; i < mask.length; i++) into[i] = colours[shown[mask[i]!]!]!;
      return;
    }
    if (this.ids.length !== mask.length) this.ids = new Uint8Array(mask.length);
    const ids = this.ids;
    for (let i = 0; i < mask.length; i++) ids[i] = shown[mask[i]!]!;
    const far = Math.max(1, Math.round(Math.min(width, height) / LINES_ACROSS));
    const last = Math.max(far, width - far);
    for (let row = 0; row < height; row++) {
      const here = row * width;
      const above = Math.max(0, row - far) * width;
      const below = Math.min(height - 1, row + far) * width;
      // What lies beyond the edge is not another class: there a pixel is compared with itself.
      outline(ids, colours, into, [here, here, here + far, above, below], 0, far);
      outline(ids, colours, into, [here, here - far, here + far, above, below], far, last);
      outline(ids, colours, into, [here, here - far, here, above, below], last, width);
    }
  }
}

type Starts = readonly [here: number, left: number, right: number, above: number, below: number];

/** Paints some pixels of a row: on an outline lie those that differ from one of four neighbours. */
function outline(
  ids: Uint8Array,
  colours: Uint32Array,
  into: Uint32Array,
  [here, left, right, above, below]: Starts,
  from: number,
  to: number,
): void {
  for (let x = from; x < to; x++) {
    const id = ids[here + x];
    const inside =
      ids[left + x] === id && ids[right + x] === id && ids[above + x] === id && ids[below + x] === id;
    into[here + x] = colours[inside ? id! : id! + 256]!;
  }
}
