import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  Engine,
  ModelError,
  readModel,
  type Backend,
  type FeatureMap,
  type RunOptions,
} from "../engine/index.ts";
import { simdOperator } from "../engine/simd.ts";
import { FIXTURES, bytes, picture, truth } from "./fixtures.ts";

const NETWORKS = [
  "nano",
  "lite",
  "plus",
  "positions-alone",
  "article",
  "separable",
  "basic",
  "vgg16",
  "efficient",
  "efficient-lite2",
  "grey",
];
const PICTURES = 10;
const EQUAL = 1e-4; // relative to a map's largest value
const ROUNDING = 1e-5; // two values of a window that are as close as this may change places
const MOST_ROUNDED = 0.5; // of the pictures

const hasRelaxed = (await simdOperator(true)) !== null;
const BACKENDS: Backend[] = hasRelaxed ? ["relaxed-simd", "simd", "plain"] : ["simd", "plain"];
if (!hasRelaxed) console.log("relaxed SIMD isn't tested: this Node's WebAssembly doesn't have it");

/** Return the largest difference of two maps, relative to the largest value of the second. */
function difference(found: FeatureMap, expected: FeatureMap): number {
  const { height, width, channels } = expected;
  expect([found.height, found.width, found.channels]).toEqual([height, width, channels]);
  let [largest, most] = [0, 0];
  expected.data.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value - found.data[i]!));
    most = Math.max(most, Math.abs(value));
  });
  return largest / most;
}

/** Return the values of a pool's window, first row first. */
function windowOf(map: FeatureMap, pooled: FeatureMap, at: number): number[] {
  const channel = at % pooled.channels;
  const column = Math.floor(at / pooled.channels) % pooled.width;
  const row = Math.floor(at / pooled.channels / pooled.width);
  return [0, 1, 2, 3].map((place) => {
    const pixel = (2 * row + (place >> 1)) * map.width + 2 * column + (place & 1);
    return map.data[pixel * map.channels + channel]!;
  });
}

/**
 * Whether a pool's maxima lie where PyTorch has them. Where two values of a window are equal but for rounding, they
 * may lie elsewhere, and what depends on them differs though nothing is wrong; other differences are a failure.
 */
function samePositions(engine: Engine, from: number, tensor: number, expected: FeatureMap): boolean {
  const [map, pooled, codes] = [engine.map(from), engine.map(tensor), engine.codes(tensor)];
  const most = map.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  let same = true;
  codes.forEach((code, at) => {
    if (code === expected.data[at]) return;
    const values = windowOf(map, pooled, at);
    expect(values[code]! - values[expected.data[at]!]!).toBeLessThan(ROUNDING * most);
    same = false;
  });
  return same;
}

function classes({ data, channels }: FeatureMap): number[] {
  return Array.from({ length: data.length / channels }, (_, pixel) => {
    const values = data.subarray(pixel * channels, (pixel + 1) * channels);
    return values.indexOf(Math.max(...values));
  });
}

const pictures = (network: string): number[] =>
  [...Array(PICTURES).keys()].filter((number) => existsSync(join(FIXTURES, `${network}-${number}.bin`)));

describe.each(NETWORKS)("%s", (network) => {
  const model = readModel(bytes(`${network}.segnet`));
  const { channels } = model.header.input;

  test.each(BACKENDS)("gives PyTorch's maps, logits and classes: %s", async (backend) => {
    const engine = await Engine.create(model, backend);
    const numbers = pictures(network).slice(...(backend === "plain" ? [1, 2] : []));
    let [pixels, others, rounded] = [0, 0, 0];
    for (const number of numbers) {
      const expected = truth(network, number);
      const logits = engine.run(picture(number, channels), { keep: true });
      const compared = model.header.layers.every((layer, i) => {
        const map = expected.get(`${i + 1}`);
        if (map) expect(difference(engine.map(i + 1), map), `${layer.op} ${layer.name}`).toBeLessThan(EQUAL);
        const codes = expected.get(`codes ${i + 1}`);
        return !codes || samePositions(engine, layer.from, i + 1, codes);
      });
      if (!compared) {
        rounded++;
        continue;
      }
      expect(difference(logits, expected.get("logits")!)).toBeLessThan(EQUAL);
      const [ours, theirs] = [classes(logits), classes(expected.get("logits")!)];
      pixels += ours.length;
      others += ours.filter((id, i) => id !== theirs[i]).length;
    }
    expect(others / pixels).toBeLessThan(1e-4);
    expect(rounded / numbers.length).toBeLessThanOrEqual(MOST_ROUNDED);
  });
});

test("every layer's map is compared", () => {
  for (const network of NETWORKS) {
    const { layers } = readModel(bytes(`${network}.segnet`)).header;
    const known = truth(network, 0);
    layers.forEach((layer, i) => {
      if (layer.op !== "shuffle") expect(known.has(`${i + 1}`), `${network}: ${layer.name}`).toBe(true);
    });
  }
});

test("an RGBA picture gives what its RGB values give", async () => {
  const engine = await Engine.create(readModel(bytes("nano.segnet")));
  const rgb = picture(0, 3);
  const data = new Uint8Array(rgb.height * rgb.width * 4).fill(255);
  rgb.data.forEach((value, i) => (data[Math.floor(i / 3) * 4 + (i % 3)] = value));
  const logits = engine.run(rgb);
  expect(engine.run({ ...rgb, channels: 4, data })).toEqual(logits);
});

test("positions are where the maxima were, and the first of equal ones", async () => {
  const engine = await Engine.create(readModel(bytes("nano.segnet")));
  engine.run(picture(1, 3), { keep: true });
  const { layers } = engine.model.header;
  layers.forEach((layer, i) => {
    if (layer.op !== "pool") return;
    const [before, pooled, codes] = [engine.map(layer.from), engine.map(i + 1), engine.codes(i + 1)];
    codes.forEach((code, at) => expect(code).toBe(windowOf(before, pooled, at).indexOf(pooled.data[at]!)));
  });
});

test("the same engine takes pictures of other sizes in turn, and gives each the same as before", async () => {
  const engine = await Engine.create(readModel(bytes("lite.segnet")));
  const first = engine.run(picture(0, 3));
  engine.run(picture(3, 3), { keep: true });
  expect(engine.run(picture(0, 3))).toEqual(first);
  expect(engine.run(picture(0, 3), { keep: true })).toEqual(first);
});

describe("without the positions", () => {
  const broken = async (options: RunOptions): Promise<[Engine, FeatureMap]> => {
    const engine = await Engine.create(readModel(bytes("nano.segnet")));
    return [engine, engine.run(picture(1, 3), { keep: true, ...options })];
  };
  const layers = readModel(bytes("nano.segnet")).header.layers;
  const unpools = layers.flatMap((layer, i) => (layer.op === "unpool" ? [{ layer, tensor: i + 1 }] : []));

  test.each([
    ["first", (values: number[], value: number) => expect(values).toEqual([value, 0, 0, 0])],
    [
      "random",
      (values: number[], value: number) =>
        expect(values.filter((each) => each !== 0)).toEqual(value === 0 ? [] : [value]),
    ],
    ["everywhere", (values: number[], value: number) => expect(values).toEqual([value, value, value, value])],
  ] as const)("un-pools %s", async (unpooling, check) => {
    const [engine] = await broken({ unpooling, lateral: false });
    for (const { layer, tensor } of unpools) {
      const [small, large] = [engine.map(layer.from), engine.map(tensor)];
      small.data.forEach((value, at) => check(windowOf(large, small, at), value));
    }
  });

  test("bilinear is what the mean of neighbours is: a plane stays a plane but at its edges", async () => {
    const [engine] = await broken({ unpooling: "bilinear", lateral: false });
    for (const { layer, tensor } of unpools) {
      const [small, large] = [engine.map(layer.from), engine.map(tensor)];
      const value = (map: FeatureMap, row: number, column: number): number =>
        map.data[(row * map.width + column) * map.channels]!;
      const expected =
        (9 * value(small, 0, 0) + 3 * value(small, 0, 1) + 3 * value(small, 1, 0) + value(small, 1, 1)) / 16;
      expect(value(large, 1, 1)).toBeCloseTo(expected, 4);
    }
  });

  test("lateral maps are what an un-pool adds", async () => {
    const [engine] = await broken({});
    const [without] = await broken({ lateral: false });
    const { layer, tensor } = unpools[0]!;
    if (layer.op !== "unpool") throw new Error("no un-pool");
    const [sum, alone, added] = [engine.map(tensor), without.map(tensor), engine.map(layer.add!)];
    sum.data.forEach((value, i) => expect(value).toBeCloseTo(alone.data[i]! + added.data[i]!, 4));
  });

  test("the next run has them again", async () => {
    const [engine] = await broken({ unpooling: "random", lateral: false });
    const [, intact] = await broken({});
    expect(engine.run(picture(1, 3), { keep: true })).toEqual(intact);
  });
});

describe("bad input", () => {
  const file = bytes("nano.segnet");
  const changed = (change: (copy: Uint8Array) => void): Uint8Array => {
    const copy = file.slice();
    change(copy);
    return copy;
  };
  const header = (from: string, to: string): Uint8Array =>
    changed((copy) => {
      const at = new TextDecoder("latin1").decode(copy).indexOf(from);
      copy.set(new TextEncoder().encode(to), at);
    });

  test.each([
    ["an empty file", new Uint8Array(), "no model file for the web"],
    ["another file", new TextEncoder().encode("<!doctype html><title>a page</title>"), "no model file"],
    ["a cut file", file.subarray(0, file.length - 1000), "is cut"],
    ["a file cut in its header", file.subarray(0, 500), "damaged"],
    ["a file of a later version", changed((copy) => (copy[6] = 2)), "has version 2"],
    ["a changed weight", changed((copy) => copy[copy.length - 50]!++), "damaged"],
    ["an unknown layer", header('"op":"conv"', '"op":"wave"'), "doesn't know: wave"],
    ["a layer that refers to a later one", header('"from":0', '"from":9'), "doesn't fit"],
  ])("%s", (_, content, says) => {
    expect(() => readModel(content)).toThrow(ModelError);
    expect(() => readModel(content)).toThrow(says);
  });

  test.each([
    [
      "too small",
      { width: 15, height: 40, channels: 3, data: new Uint8Array(15 * 40 * 3) },
      "at least 16x16",
    ],
    ["other channels", { width: 20, height: 20, channels: 2, data: new Uint8Array(800) }, "3 channels"],
    ["too few values", { width: 20, height: 20, channels: 3, data: new Uint8Array(1000) }, "1000 values"],
  ])("a picture: %s", async (_, wrong, says) => {
    const engine = await Engine.create(readModel(file));
    expect(() => engine.run(wrong)).toThrow(says);
  });

  test("maps that weren't kept", async () => {
    const engine = await Engine.create(readModel(file));
    engine.run(picture(0, 3));
    expect(() => engine.map(1)).toThrow("kept no maps");
    engine.run(picture(0, 3), { keep: true });
    expect(() => engine.map(1000)).toThrow("no tensor 1000");
    expect(() => engine.codes(1)).toThrow("from a pool");
  });
});
