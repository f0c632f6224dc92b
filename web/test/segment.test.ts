import { expect, test } from "vitest";
import { Engine, prepare, readModel, segment } from "../engine/index.ts";
import { resizeBytes, type Method } from "../engine/resize.ts";
import { bytes, json, picture } from "./fixtures.ts";

test("resizes as Pillow 13 does, to the bit", () => {
  type Row = { method: Method; from: [number, number]; to: [number, number] };
  const values = bytes("resized.bin");
  let at = 0;
  const take = ([height, width]: [number, number]): Uint8Array =>
    values.subarray(at, (at += height * width * 3));
  for (const { method, from, to } of json<Row[]>("resized.json")) {
    const [data, expected] = [take(from), take(to)];
    const found = resizeBytes({ height: from[0], width: from[1], channels: 3, data }, ...to, method);
    expect(Buffer.from(found.data).equals(expected), `${method} ${from} to ${to}`).toBe(true);
  }
});

test("gives the masks of segnet predict, squeezed and with proportions kept", async () => {
  const values = bytes("photos.bin");
  let at = 0;
  for (const row of json<{ model: string; height: number; width: number }[]>("photos.json")) {
    const { height, width } = row;
    const data = values.subarray(at, (at += height * width * 3));
    const expected = values.subarray(at, (at += height * width));
    const engine = await Engine.create(readModel(bytes(row.model)));
    const { mask, areas } = segment(engine, { height, width, channels: 3, data });
    const differing = mask.filter((id, i) => id !== expected[i]).length;
    expect(differing / mask.length, `${row.model} ${height}x${width}`).toBeLessThan(1e-4);
    areas.forEach((area, id) => expect(area).toBe(mask.filter((each) => each === id).length / mask.length));
  }
});

test("leaves a picture of the network's own size as it is", () => {
  const { header } = readModel(bytes("nano.segnet"));
  const own = picture(0, 3);
  expect(prepare(own, header)).toBe(own);
});
