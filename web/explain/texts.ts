/** What the page says about each kind of layer, in the article's words. */

import type { Header, Layer } from "../engine/index.ts";

/** Says in two or three sentences what a layer does. */
export function about(layer: Layer, { layers }: Header, hasNorm: boolean, isWhole: boolean): string {
  const norm = hasNorm ? " Batch norm then scales and shifts the sums of each channel." : "";
  switch (layer.op) {
    case "conv": {
      const index = layers.indexOf(layer) + 1;
      const isLateral = layers.some(
        (each) => (each.op === "unpool" || each.op === "upsample") && each.add === index,
      );
      const isLast = !layers.slice(index).some((each) => each.op === "conv" || each.op === "depthwise");
      const what =
        layer.kernel === 1
          ? "A 1×1 convolution mixes the channels of one pixel: each output value is a weighted sum of all its inputs."
          : "A convolution slides its kernel over the map: each output value is the sum of a window of all input channels times the kernel.";
      const added =
        layer.add === undefined
          ? ""
          : " The map from before the unit is added, so the unit learns only what to change.";
      if (isLateral) return `${what}${norm} The decoder adds this lateral map after its un-pool.`;
      if (isLast) return `${what} This last one, the classifier, gives the logits of the classes.`;
      return `${what}${norm}${added}${layer.activation === "none" ? "" : " At the end ReLU turns negative values into 0."}`;
    }
    case "depthwise":
      return (
        "A depthwise convolution has one kernel for each channel and reads that channel alone. The 1×1 convolution after it mixes the channels." +
        norm
      );
    case "pool":
      return "Max-pooling keeps the largest of each 2×2 window and halves height and width. It also keeps where the largest stood: a code of two bits for each window.";
    case "unpool":
      if (!isWhole)
        return "Un-pooling doubles height and width. It is broken here: the positions of the maxima are not used.";
      return `Un-pooling doubles height and width. Each value goes back to where the encoder’s maximum stood, and the other three pixels get 0.${layer.add === undefined ? "" : " Then the lateral map of the encoder is added."}`;
    case "upsample":
      return `Each value is repeated in a 2×2 block.${layer.add === undefined ? "" : " Then the lateral map of the encoder is added."}`;
    case "shuffle":
      return "The channels become neighbouring pixels. The result holds a logit for each class and pixel; the largest logit gives the pixel its class.";
  }
}
