/**
 * What the tests compare with: `python tests/web/make_fixtures.py FOLDER` makes it, and SEGNET_FIXTURES names the
 * folder.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FeatureMap, Picture } from "../engine/index.ts";

const folder = process.env.SEGNET_FIXTURES;
if (!folder) throw new Error("Set SEGNET_FIXTURES to the folder that tests/web/make_fixtures.py wrote.");

export const FIXTURES: string = folder;

export function bytes(name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(join(FIXTURES, name)));
}

export function json<Value>(name: string): Value {
  return JSON.parse(readFileSync(join(FIXTURES, name), "utf-8")) as Value;
}

/** Return drawn pet number N, with as many channels. */
export function picture(number: number, channels: number): Picture {
  const { height, width } = json<{ height: number; width: number }[]>("pictures.json")[number]!;
  const all = bytes(`picture-${number}.bin`);
  const data = channels === 3 ? all : all.filter((_, i) => i % 3 < channels);
  return { height, width, channels, data };
}

/** Return what PyTorch made of a picture: "logits", maps by the tensor's number, and "codes N" of a pool. */
export function truth(network: string, number: number | string): Map<string, FeatureMap> {
  const rows = json<{ key: string; shape: [number, number, number] }[]>(`${network}-${number}.json`);
  const values = new Float32Array(bytes(`${network}-${number}.bin`).buffer);
  let at = 0;
  return new Map(
    rows.map(({ key, shape: [height, width, channels] }) => {
      const data = values.subarray(at, (at += height * width * channels));
      return [key, { height, width, channels, data }];
    }),
  );
}
