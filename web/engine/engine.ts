/** A network that runs: what to call with a picture, and what to ask for its maps. */

import { ModelError, type Model } from "./model.ts";
import type { Operator } from "./operations.ts";
import { featureMap, packed, type FeatureMap, type Picture } from "./picture.ts";
import { PLAIN } from "./plain.ts";
import { Plan } from "./plan.ts";
import { upTo } from "./shapes.ts";
import { simdOperator } from "./simd.ts";
import type { Unpooling } from "./unpooling.ts";

/** What computes: WebAssembly with relaxed SIMD (a fused multiply-add), with SIMD, or plain TypeScript. */
export type Backend = "relaxed-simd" | "simd" | "plain";

const OPERATORS: Record<Backend, () => Promise<Operator | null>> = {
  "relaxed-simd": () => simdOperator(true),
  simd: () => simdOperator(false),
  plain: async () => PLAIN,
};

const LEAST_PX = 16;

export interface RunOptions {
  /** Whether every map stays readable by `map` and `codes` until the next run; takes more memory. */
  keep?: boolean;
  /** Where un-pools put their values; "first" and "random" also change what `codes` gives. */
  unpooling?: Unpooling;
  /** Whether the decoder gets the encoder's maps, where the network hands them over. */
  lateral?: boolean;
}

export class Engine {
  private plan: Plan | null = null;

  private constructor(
    readonly model: Model,
    readonly backend: Backend,
    private readonly operator: Operator,
  ) {}

  /**
   * Prepare a network.
   *
   * @param model - what `readModel` gave.
   * @param backend - what is to compute; by default the quickest that this machine has.
   * @throws ModelError where the machine doesn't have the backend.
   */
  static async create(model: Model, backend?: Backend): Promise<Engine> {
    const wanted = backend ? [backend] : (Object.keys(OPERATORS) as Backend[]);
    for (const each of wanted) {
      const operator = await OPERATORS[each]();
      if (operator) return new Engine(model, each, operator);
    }
    throw new ModelError(`The WebAssembly of this machine has no ${backend}.`);
  }

  /** Return an engine for another network, which computes with what this one does and has memory of its own. */
  of(model: Model): Engine {
    return new Engine(model, this.backend, this.operator);
  }

  /**
   * Return the logits of a picture, at its own size.
   *
   * @param picture - at least 16 by 16 pixels.
   * @throws ModelError for a picture that the network can't take.
   */
  run(picture: Picture, options: RunOptions = {}): FeatureMap {
    const { keep = false, unpooling = "positions", lateral = true } = options;
    this.check(picture);
    const { multiple } = this.model.header.input;
    const [height, width] = [upTo(multiple, picture.height), upTo(multiple, picture.width)];
    if (!this.plan?.fits(height, width, keep)) {
      this.plan = null; // its memory is given back before the next is taken
      this.plan = new Plan(this.model, this.operator, height, width, keep);
    }
    return this.plan.run(picture, unpooling, lateral);
  }

  /** Return a map of the last run, which kept them: 0 is the scaled image, layer i gives tensor i + 1. */
  map(tensor: number): FeatureMap {
    return featureMap(this.kept(tensor).tensors[tensor]!);
  }

  /** Return where a pool's maxima were, 0 to 3 row by row, height by width by channels as its map. */
  codes(tensor: number): Uint8Array {
    const { codes, tensors } = this.kept(tensor);
    const found = codes[tensor];
    if (!found) throw new ModelError(`Tensor ${tensor} doesn't come from a pool.`);
    return packed(found, tensors[tensor]!);
  }

  private kept(tensor: number): Plan {
    if (!this.plan?.keep) throw new ModelError("The last run kept no maps; ask run() to keep them.");
    if (!(tensor in this.plan.tensors)) throw new ModelError(`There is no tensor ${tensor}.`);
    return this.plan;
  }

  private check({ width, height, channels, data }: Picture): void {
    const needed = this.model.header.input.channels;
    if (Math.min(width, height) < LEAST_PX) {
      throw new ModelError(
        `The picture has ${width}x${height} pixels; the network takes at least ${LEAST_PX}x${LEAST_PX}.`,
      );
    }
    if (channels !== needed && !(channels === 4 && (needed === 3 || needed === 1))) {
      throw new ModelError(`The network takes ${needed} channels, and the picture has ${channels}.`);
    }
    if (data.length !== width * height * channels) {
      throw new ModelError(`A picture of ${width}x${height}x${channels} doesn't have ${data.length} values.`);
    }
  }
}
