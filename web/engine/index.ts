/** The engine: reads a model file for the web and runs it, as WebAssembly or as plain TypeScript. */

export { Engine, type Backend, type RunOptions } from "./engine.ts";
export { ModelError, type Header, type Layer, type Model } from "./model.ts";
export type { FeatureMap, Picture } from "./picture.ts";
export { readModel } from "./read.ts";
export { prepare, segment, type Segmentation } from "./segment.ts";
export type { Unpooling } from "./unpooling.ts";
