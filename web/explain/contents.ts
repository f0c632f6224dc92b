/** What Python wrote into the page besides the network: drawn pets, batch norms, a training, and where the tutorial is. */

import { Refusal } from "../shared/words.ts";

/** A drawn pet. */
export interface Example {
  name: string;
  /** The picture in the network's size, base64 of a WebP. */
  image: string;
  /** The class of each pixel, base64 of a WebP; null where the network has other classes. */
  mask: string | null;
}

/** A training: what the network made of a few pictures after some of its epochs. */
export interface Learning {
  /** Which run it was, one sentence. */
  run: string;
  /** The colour of each class by its name, as CSS takes it. */
  classes: Record<string, string>;
  pictures: { name: string; image: string; truth: string }[];
  /** Loss and mean IoU are null where they couldn't be taken; a mask for each picture. */
  epochs: { epoch: number; loss: number | null; iou: number | null; masks: string[] }[];
}

export interface Contents {
  examples: Example[];
  /** For each layer, as `readNorms` takes them. */
  norms: (string | null)[];
  learning: Learning | null;
  /** The tutorial's folder, as links from this page begin; null where the page lies alone. */
  tutorial: string | null;
}

const EMPTY: Contents = { examples: [], norms: [], learning: null, tutorial: null };

export function readContents(element: HTMLElement): Contents {
  const text = element.textContent;
  if (!text) return EMPTY;
  try {
    return { ...EMPTY, ...(JSON.parse(text) as Partial<Contents>) };
  } catch {
    throw new Refusal(
      "This page is damaged. Write it again with segnet show network, or copy its file again.",
    );
  }
}
