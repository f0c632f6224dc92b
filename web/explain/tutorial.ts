/** Where the tutorial tells more: links in the documentation's site, names elsewhere. */

import { make } from "../shared/elements.ts";

const SECTIONS = {
  segmentation: [
    "Part 1, Introduction to image segmentation",
    "part-1.html#introduction-to-image-segmentation",
  ],
  scores: ["Part 1, Evaluating model performance", "part-1.html#evaluating-model-performance"],
  convolution: ["Part 2, Convolution", "part-2.html#convolution"],
  pooling: ["Part 2, Pooling", "part-2.html#pooling"],
  network: ["Part 2, SegNet", "part-2.html#segnet-a-cnn-based-model"],
  learning: ["Part 2, Observations of model learning", "part-2.html#observations-of-model-learning"],
  separable: ["Part 3, Depthwise Separable Convolutions", "part-3.html#depthwise-separable-convolutions"],
} as const;

export type Section = keyof typeof SECTIONS;

/** Returns what leads to a section; `folder` is the tutorial's, as a link from this page begins, or null. */
export function tutorialLink(section: Section, folder: string | null): HTMLElement {
  const [name, place] = SECTIONS[section];
  if (folder === null) return make("span", "", name);
  const link = make("a", "", name);
  link.href = folder + place;
  return link;
}
