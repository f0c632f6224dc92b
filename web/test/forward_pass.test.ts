/** What the explainer computes: sums, receptive fields, scores, beside the engine's own numbers. */

import { describe, expect, test } from "vitest";
import { Engine, readModel, type Picture, type Unpooling } from "../engine/index.ts";
import { inside, receptiveField } from "../explain/field.ts";
import { linksOf, nameOf, parametersOf, sizesOf, stagesOf } from "../explain/network.ts";
import { explain } from "../explain/sum.ts";
import { Breakable, ForwardPass, probabilities, UNBROKEN } from "../explain/forward_pass.ts";
import { readNorms } from "../explain/norms.ts";
import { boundaryF1, meanIou } from "../explain/scores.ts";
import { bytes, json, picture, truth } from "./fixtures.ts";

const open = async (name: string): Promise<Engine> => Engine.create(readModel(bytes(`${name}.segnet`)));

/** Numbers below a limit, the same in each run. */
function lottery(): (below: number) => number {
  let state = 7;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe.each(["nano", "efficient", "basic"])("in %s", (name) => {
  test.each(["positions", "first", "random", "everywhere", "bilinear"] satisfies Unpooling[])(
    "the sums are the engine's values, un-pooled by %s",
    async (unpooling) => {
      const network = new Breakable(await open(name), readNorms(json(`${name}-norms.json`)));
      const draw = lottery();
      for (const [number, lateral, norms] of [
        [0, true, true],
        [1, unpooling !== "first", unpooling !== "random"],
      ] as const) {
        const pass = network.run(picture(number, 3), { unpooling, lateral, norms });
        for (let tensor = 0; tensor <= pass.header.layers.length; tensor++) {
          const { height, width, channels } = pass.map(tensor);
          for (let i = 0; i < 12; i++) {
            const place = { tensor, row: draw(height), column: draw(width), channel: draw(channels) };
            const { value } = explain(pass, place);
            const truth = pass.value(tensor, place.row, place.column, place.channel);
            expect(Math.abs(value - truth), JSON.stringify(place)).toBeLessThan(1e-4 * (1 + Math.abs(truth)));
          }
        }
      }
    },
  );
});

describe.each(["nano", "basic"])("in %s", (name) => {
  test("the receptive field is where a change of the image can change a value", async () => {
    const engine = await open(name);
    const before = picture(0, 3);
    const pass = new ForwardPass(engine, before, UNBROKEN);
    const { layers } = pass.header;
    const kept = Array.from({ length: layers.length + 1 }, (_, tensor) => pass.map(tensor));
    for (const [row, column] of [
      [0, 0],
      [20, 41],
      [37, 6],
      [63, 30],
    ] as const) {
      const after = new ForwardPass(engine, changed(before, row, column), UNBROKEN);
      kept.forEach(({ width, channels, data }, tensor) => {
        const found = after.map(tensor).data;
        const pixels = new Set<number>();
        found.forEach((value, i) => value !== data[i] && pixels.add(Math.floor(i / channels)));
        const outside = [...pixels].filter((pixel) => {
          const box = receptiveField(layers, tensor, Math.floor(pixel / width), pixel % width);
          return row < box.top || row >= box.bottom || column < box.left || column >= box.right;
        });
        expect(outside, `tensor ${tensor}, changed ${row} ${column}`).toEqual([]);
        if (tensor < 2) expect(pixels.size).toBeGreaterThan(0);
      });
    }
  });
});

function changed(before: Picture, row: number, column: number): Picture {
  const data = before.data.slice();
  for (let c = 0; c < 3; c++) {
    const at = (row * before.width + column) * 3 + c;
    data[at] = data[at]! < 128 ? 255 : 0;
  }
  return { ...before, data };
}

test("receptive fields are as large as the layers make them", async () => {
  const { layers, size } = (await open("nano")).model.header;
  expect(receptiveField(layers, 1, 5, 5)).toEqual({ top: 9, left: 9, bottom: 13, right: 13 }); // 4x4, stride 2, pad 1
  const pooled = receptiveField(layers, 3, 2, 2); // 2x2 windows of those
  expect([pooled.bottom - pooled.top, pooled.right - pooled.left]).toEqual([6, 6]);
  const corner = receptiveField(layers, 1, 0, 0);
  expect(corner).toEqual({ top: -1, left: -1, bottom: 3, right: 3 });
  expect(inside(corner, ...size)).toEqual({ top: 0, left: 0, bottom: 3, right: 3 });
});

test("a network is shown in stages, with what passes between them", async () => {
  const { model } = await open("nano");
  const { header } = model;
  expect(stagesOf(header).map(({ title, level, tensors }) => [title, level, tensors.length])).toEqual([
    ["Encoder 1", 0, 3],
    ["Encoder 2", 1, 6],
    ["Encoder 3", 2, 6],
    ["Bottleneck", 3, 12],
    ["Decoder 1", 2, 5],
    ["Decoder 2", 1, 5],
    ["Decoder 3", 0, 5],
  ]);
  expect(linksOf(header).map(({ kind, from, to }) => `${kind} ${from} ${to}`)).toEqual([
    "positions 15 28",
    "lateral 14 28",
    "positions 9 33",
    "lateral 8 33",
    "positions 3 38",
    "lateral 2 38",
  ]);
  expect(nameOf(header.layers[0]!)).toBe("4×4 convolution, stride 2, ReLU");
  expect(parametersOf(model).slice(0, 4)).toEqual([0, 784, 272, 0]);
  expect(sizesOf(header).slice(0, 4)).toEqual(["64×64×3", "32×32×16", "32×32×16", "16×16×16"]);
});

test("mean IoU is over the classes that either mask has", () => {
  expect(meanIou(Uint8Array.of(0, 0, 1, 1), Uint8Array.of(0, 1, 1, 1), 3)).toBeCloseTo((1 / 2 + 2 / 3) / 2);
  expect(meanIou(Uint8Array.of(0, 2), Uint8Array.of(0, 2), 3)).toBe(1);
});

test("probabilities add up to one, and large logits don't overflow", () => {
  expect(probabilities([1000, 1000])).toEqual([0.5, 0.5]);
  expect(probabilities([0, Math.log(3)])[1]).toBeCloseTo(0.75);
});

test.each(["nano", "efficient", "basic"])("without batch norm %s gives PyTorch's logits", async (name) => {
  const network = new Breakable(await open(name), readNorms(json(`${name}-norms.json`)));
  const expected = truth(name, "bare").get("logits")!;
  const { logits } = network.run(picture(0, 3), { ...UNBROKEN, norms: false });
  const most = Math.max(...expected.data.map(Math.abs));
  expect(most).toBeGreaterThan(0);
  logits.data.forEach((value, i) => expect(Math.abs(value - expected.data[i]!)).toBeLessThan(1e-4 * most));
  const again = network.run(picture(0, 3), UNBROKEN).logits;
  expect(again.data).toEqual(network.again().run(picture(0, 3), UNBROKEN).logits.data);
});

test("mean IoU and boundary F1 are Python's", () => {
  const values = bytes("scores.bin");
  let at = 0;
  for (const { size, iou, f1 } of json<{ size: [number, number]; iou: number; f1: number }[]>(
    "scores.json",
  )) {
    const [real, other] = [0, 1].map(() => values.subarray(at, (at += size[0] * size[1])));
    expect(meanIou(other!, real!, 3)).toBeCloseTo(iou, 6);
    expect(boundaryF1(other!, real!, size[1], 3)).toBeCloseTo(f1, 6);
    expect(boundaryF1(real!, real!, size[1], 3)).toBe(1);
  }
});
