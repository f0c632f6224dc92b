/** Batch norms that are folded into convolutions: what they multiply by and add, and the network without them. */

import type { Model } from "../engine/index.ts";

/** `x * scale + shift` for each channel. */
export interface Norm {
  scale: Float32Array;
  shift: Float32Array;
}

/** Reads a norm for each layer: base64 of all scales and then all shifts as float32, or null. */
export function readNorms(texts: readonly (string | null)[]): (Norm | null)[] {
  return texts.map((text) => {
    if (text === null) return null;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const values = new Float32Array(bytes.buffer);
    return { scale: values.subarray(0, values.length / 2), shift: values.subarray(values.length / 2) };
  });
}

/** Takes a channel's norm out of a weight that it was folded into. */
export function unfolded(weight: number, scale: number): number {
  return scale === 0 ? 0 : weight / scale;
}

/** Returns the network with its convolutions as they are before their norms, and no norm after them. */
export function withoutNorms(model: Model, norms: readonly (Norm | null)[]): Model {
  const weights = model.weights.map((each, i) => {
    const norm = norms[i];
    if (!norm) return each;
    const count = norm.scale.length;
    return {
      kernel: each.kernel.map((weight, at) => unfolded(weight, norm.scale[at % count]!)),
      bias: each.bias.map((bias, channel) => unfolded(bias - norm.shift[channel]!, norm.scale[channel]!)),
    };
  });
  return { ...model, weights };
}
