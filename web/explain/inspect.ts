/** What is under the pointer: boxes on the photo for what each stage sees, and the logits of the pixel. */

import { make, say } from "../shared/elements.ts";
import { inside, receptiveField, type Box } from "./field.ts";
import { fitted } from "./maps.ts";
import { stagesOf } from "./network.ts";
import { decimal } from "./numbers.ts";
import type { Place } from "./sum.ts";
import { probabilities, type ForwardPass } from "./forward_pass.ts";

interface Field {
  title: string;
  box: Box;
}

/** Returns what the last map of each encoder stage, and of the bottleneck, sees around a pixel of the image. */
export function stageFields(pass: ForwardPass, row: number, column: number): Field[] {
  const { header, picture } = pass;
  const { layers } = header;
  return stagesOf(header)
    .filter(({ title }) => !title.startsWith("Decoder"))
    .map(({ title, tensors }) => {
      const tensor = tensors.findLast((each) => layers[each - 1]!.op !== "pool")!;
      const scale = pass.map(0).height / pass.map(tensor).height;
      const box = receptiveField(layers, tensor, Math.floor(row / scale), Math.floor(column / scale));
      return { title, box: inside(box, picture.height, picture.width) };
    });
}

/** Returns what a place of a map sees. */
export function placeField({ header, picture }: ForwardPass, { tensor, row, column }: Place): Field {
  const box = receptiveField(header.layers, tensor, row, column);
  return { title: "The chosen value", box: inside(box, picture.height, picture.width) };
}

/** Draws boxes over the photo, and says their sizes. */
export function showFields(
  canvas: HTMLCanvasElement,
  text: HTMLElement,
  { picture }: ForwardPass,
  fields: Field[],
): void {
  const { clientWidth, clientHeight } = canvas;
  if (!clientWidth) return;
  const context = fitted(canvas, clientWidth, clientHeight);
  const [x, y] = [clientWidth / picture.width, clientHeight / picture.height];
  for (const { box } of fields) {
    const place = [
      box.left * x + 1,
      box.top * y + 1,
      (box.right - box.left) * x - 2,
      (box.bottom - box.top) * y - 2,
    ] as const;
    for (const [width, colour] of [
      [3.5, "#000"],
      [1.75, "#fff"],
    ] as const) {
      [context.lineWidth, context.strokeStyle] = [width, colour];
      context.strokeRect(...place);
    }
  }
  const sizes = fields.map(({ title, box }) => {
    const isAll = box.right - box.left === picture.width && box.bottom - box.top === picture.height;
    return `${title}: ${isAll ? "the whole photo" : `${box.right - box.left}×${box.bottom - box.top}`}`;
  });
  say(text, fields.length ? `Receptive field in pixels. ${sizes.join("; ")}.` : INVITATION);
}

const INVITATION = "Point at the photo: boxes show how much of it each stage sees.";

/** Lists logit and probability of each class at a pixel of the image. */
export function showPixel(
  table: HTMLTableElement,
  { logits, header, mask }: ForwardPass,
  row: number,
  column: number,
): void {
  const at = row * logits.width + column;
  const found = [...logits.data.subarray(at * logits.channels, (at + 1) * logits.channels)];
  const chances = probabilities(found);
  const rows = [...found.keys()]
    .sort((a, b) => found[b]! - found[a]!)
    .slice(0, 5)
    .map((id) => {
      const swatch = make("span", "swatch");
      swatch.style.background = `rgb(${header.classes.colours[id]!.join(" ")})`;
      const name = make("th", id === mask[at] ? "winner" : "", swatch, header.classes.names[id]!);
      name.scope = "row";
      return make(
        "tr",
        "",
        name,
        make("td", "", decimal(found[id]!)),
        make("td", "", `${(100 * chances[id]!).toFixed(1)} %`),
      );
    });
  const head = ["Class", "Logit", "Prob."].map((text) => {
    const cell = make("th", "", text);
    cell.scope = "col";
    return cell;
  });
  table.replaceChildren(
    make("caption", "", `Row ${row}, column ${column}`),
    make("thead", "", make("tr", "", ...head)),
    make("tbody", "", ...rows),
  );
}
