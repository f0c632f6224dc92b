/** One run of the network with all that it computed, read when it is looked at. */

import type { Engine, FeatureMap, Header, Model, Picture, Unpooling } from "../engine/index.ts";
import { classify } from "../engine/segment.ts";
import { withoutNorms, type Norm } from "./norms.ts";

export interface Breaks {
  unpooling: Unpooling;
  lateral: boolean;
  norms: boolean;
}

export const UNBROKEN: Breaks = { unpooling: "positions", lateral: true, norms: true };

export class ForwardPass {
  readonly model: Model;
  readonly logits: FeatureMap;
  readonly mask: Uint8Array;
  private readonly maps = new Map<number, FeatureMap>();
  private readonly codesOf = new Map<number, Uint8Array>();
  private readonly orders = new Map<number, number[]>();

  /** Runs an engine. Only its last run can be read, so a new pass ends the one before. */
  constructor(
    private readonly engine: Engine,
    readonly picture: Picture,
    readonly breaks: Breaks,
    /** The batch norm folded into each layer; null where there is none. */
    readonly norms: readonly (Norm | null)[] = [],
  ) {
    this.model = engine.model;
    this.logits = engine.run(picture, { keep: true, ...breaks });
    const { height, width, channels, data } = this.logits;
    this.mask = new Uint8Array(height * width);
    classify(data, this.mask, new Int32Array(channels));
  }

  get header(): Header {
    return this.model.header;
  }

  map(tensor: number): FeatureMap {
    return kept(this.maps, tensor, () => this.engine.map(tensor));
  }

  codes(tensor: number): Uint8Array {
    return kept(this.codesOf, tensor, () => this.engine.codes(tensor));
  }

  value(tensor: number, row: number, column: number, channel: number): number {
    const { width, channels, data } = this.map(tensor);
    return data[(row * width + column) * channels + channel]!;
  }

  /** Returns a map's channels, those that vary most first. */
  strongest(tensor: number): number[] {
    return kept(this.orders, tensor, () => {
      const spread = spreads(this.map(tensor));
      return [...spread.keys()].sort((a, b) => spread[b]! - spread[a]!);
    });
  }
}

function kept<Value>(store: Map<number, Value>, key: number, make: () => Value): Value {
  const found = store.get(key) ?? make();
  store.set(key, found);
  return found;
}

function spreads({ data, channels }: FeatureMap): number[] {
  const [sums, squares] = [new Float64Array(channels), new Float64Array(channels)];
  for (let i = 0; i < data.length; i += channels) {
    for (let c = 0; c < channels; c++) {
      sums[c]! += data[i + c]!;
      squares[c]! += data[i + c]! ** 2;
    }
  }
  const count = data.length / channels;
  return Array.from(squares, (square, c) => square / count - (sums[c]! / count) ** 2);
}

/** Returns the probability of each class: softmax. */
export function probabilities(logits: readonly number[]): number[] {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** A network that can be broken: an engine for it, and one for what is left of it without its batch norms. */
export class Breakable {
  private bare: Engine | null = null;

  /** @param norms has the batch norm folded into each layer; empty where nothing is known of them. */
  constructor(
    readonly engine: Engine,
    readonly norms: readonly (Norm | null)[],
  ) {}

  run(picture: Picture, breaks: Breaks): ForwardPass {
    if (breaks.norms) return new ForwardPass(this.engine, picture, breaks, this.norms);
    this.bare ??= this.engine.of(withoutNorms(this.engine.model, this.norms));
    return new ForwardPass(this.bare, picture, breaks);
  }

  /** Returns the same network with memory of its own: its runs leave the maps of this one's readable. */
  again(): Breakable {
    return new Breakable(this.engine.of(this.engine.model), this.norms);
  }
}
