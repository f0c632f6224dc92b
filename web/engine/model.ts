/** What a model file for the web says; FORMAT.md describes the bytes. */

/** What a convolution's sums pass through. */
export type Activation = "none" | "relu" | "relu6";

interface Common {
  /** The module's name in PyTorch. */
  name: string;
  /** The tensor it takes: 0 is the scaled image, layer i gives tensor i + 1. */
  from: number;
}

export interface ConvLayer extends Common {
  op: "conv";
  kernel: number;
  stride: number;
  pad: [before: number, after: number];
  channels: number;
  activation: Activation;
  add?: number;
}

export interface DepthwiseLayer extends Common {
  op: "depthwise";
  kernel: number;
  stride: number;
  pad: [before: number, after: number];
  activation: Activation;
}

export interface PoolLayer extends Common {
  op: "pool";
}

export interface UnpoolLayer extends Common {
  op: "unpool";
  /** The tensor of the pool whose positions it follows. */
  codes: number;
  add?: number;
}

export interface UpsampleLayer extends Common {
  op: "upsample";
  add?: number;
}

export interface ShuffleLayer extends Common {
  op: "shuffle";
  factor: number;
}

export type Layer = ConvLayer | DepthwiseLayer | PoolLayer | UnpoolLayer | UpsampleLayer | ShuffleLayer;

export interface Header {
  model: string;
  segnet: string;
  classes: { names: string[]; colours: [number, number, number][] };
  background: number | null;
  /** Height and width that the network was trained on. */
  size: [number, number];
  resize: "nearest" | "area" | "bilinear";
  keep_aspect: boolean;
  notice: string;
  input: { channels: number; multiple: number; scale: number[]; shift: number[] };
  layers: Layer[];
  weights: { precision: "float32" | "float16" | "int8"; bytes: number; crc32: number };
}

/** Kernel and biases of a layer as float32, in the file's order; empty for layers without weights. */
export interface Weights {
  kernel: Float32Array;
  bias: Float32Array;
}

export interface Model {
  header: Header;
  /** One entry for each layer. */
  weights: Weights[];
}

/** A model file that can't be read, or an image that the network can't take: one sentence for the user. */
export class ModelError extends Error {}
