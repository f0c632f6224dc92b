/** Numbers and lists as a person reads them, and what can go wrong as one sentence. */

import { ModelError, type Backend } from "../engine/index.ts";

/** Something that the page can't do: one sentence for the visitor. */
export class Refusal extends Error {}

/** The sentence that tells of an error, also of one that nobody foresaw. */
export function sentence(error: unknown, what: string): string {
  if (error instanceof Refusal || error instanceof ModelError) return error.message;
  return `${what}: ${error instanceof Error ? error.message : String(error)}`;
}

export function count(value: number): string {
  return value.toLocaleString("en-GB");
}

/** `pet, background or border`; of many only the number. */
export function oneOf(names: string[]): string {
  if (names.length > 6) return `one of ${names.length} classes`;
  return [names.slice(0, -1).join(", "), names.at(-1)].filter(Boolean).join(" or ");
}

export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(1)} %`;
}

export function milliseconds(value: number): string {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} seconds`;
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

export function megapixels(width: number, height: number): string {
  return `${((width * height) / 1e6).toFixed(1)} megapixels`;
}

export function bytes(value: number): string {
  return value < 1e6 ? `${Math.round(value / 1e3)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

/** What computes the masks. */
export const BACKENDS: Record<Backend, string> = {
  "relaxed-simd": "in WebAssembly with relaxed SIMD",
  simd: "in WebAssembly with SIMD",
  plain: "in plain JavaScript, which is slower: this browser’s WebAssembly has no SIMD",
};
