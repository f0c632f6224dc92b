/** One value of a map as a sum with its real numbers. */

import { make } from "../shared/elements.ts";
import { decimal, equation, grid } from "./numbers.ts";
import { bars, channelName } from "./parts.ts";
import { explain, type Explanation, type Part, type Place } from "./sum.ts";
import type { ForwardPass } from "./forward_pass.ts";

export type Of<Kind extends Explanation["kind"]> = Extract<Explanation, { kind: Kind }>;

/** Returns what shows how a value comes about; `chosen` is the channel whose window is shown, by default the largest part. */
export function sumView(
  pass: ForwardPass,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const found = explain(pass, place);
  const nodes = body(found, pass, place, chosen, choose);
  const value = make("p", "equals", `Value: `, make("output", "", decimal(found.value)));
  return [...nodes, value];
}

function body(
  found: Explanation,
  pass: ForwardPass,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const from = place.tensor ? pass.header.layers[place.tensor - 1]!.from : 0;
  switch (found.kind) {
    case "convolution":
      return convolution(found, pass, from, place, chosen, choose);
    case "pool":
      return pool(found);
    case "unpool":
      return unpool(found);
    case "spread":
      return [
        make("p", "", "The smaller map is spread over all pixels, without positions."),
        equation([["from the smaller map", found.put], ...addition(found.added, "lateral map")]),
      ];
    case "copy":
      return [
        make(
          "p",
          "",
          `Nothing is computed: the value comes from channel ${found.channel} at row ${found.row}, column ${found.column}. Channels become neighbouring pixels.`,
        ),
      ];
    case "pixel":
      return [make("p", "sum", `${found.byte} × ${found.scale.toFixed(5)} + ${decimal(found.shift)}`)];
  }
}

function convolution(
  found: Of<"convolution">,
  pass: ForwardPass,
  from: number,
  place: Place,
  chosen: number | null,
  choose: (channel: number) => void,
): Node[] {
  const { parts, size, bias, norm, added, sum, activation, value } = found;
  const sorted = [...parts].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
  const part = parts.find(({ channel }) => channel === chosen) ?? sorted[0]!;
  const nodes: Node[] = [];
  if (size > 1) {
    const isAlone = parts.length === 1;
    const which = isAlone
      ? "A depthwise convolution reads its own channel alone."
      : `The window of input ${channelName(pass, from, part.channel)}:`;
    nodes.push(make("p", "small", which), windows(part, size));
  }
  if (parts.length > 1) nodes.push(bars(sorted, size, part, pass, from, found, choose));
  const products = parts.reduce((total, each) => total + each.sum, 0);
  const isBiased = !norm || Math.abs(bias) > 5e-4; // a convolution before a norm has no bias of its own
  const terms: [string, number][] = [
    ["products", products],
    ...(isBiased ? [["bias", bias] as [string, number]] : []),
  ];
  if (norm) {
    const before = products + bias;
    if (isBiased) nodes.push(equation(terms));
    else nodes.push(make("p", "sum", `The products of all inputs add up to ${decimal(before)}.`));
    const by = `${decimal(before)} × ${decimal(norm.scale)} + ${decimal(norm.shift)} = ${decimal(norm.value)}`;
    nodes.push(make("p", "sum", `Batch norm scales the sum of the products and shifts it: ${by}`));
    if (added !== null) nodes.push(equation([["normed", norm.value], ...addition(added, "added map")], sum));
  } else nodes.push(equation([...terms, ...addition(added, "added map")], sum));
  if (activation !== "none") {
    const name = activation === "relu" ? "ReLU" : "ReLU6";
    const what = value === sum ? "leaves it as it is" : sum < 0 ? "makes it 0" : "limits it to 6";
    nodes.push(make("p", "sum", `${name} ${what}: ${decimal(sum)} → ${decimal(value)}`));
  }
  const isLateral = place.tensor > 0 && activation === "none" && size === 1;
  if (isLateral) nodes.push(make("p", "small soft", "No ReLU here: the value may stay negative."));
  return nodes;
}

function addition(added: number | null, name: string): [string, number][] {
  return added === null ? [] : [[name, added]];
}

/** Window, kernel and products as three tables of numbers. */
function windows({ window, kernel, sum }: Part, size: number): HTMLElement {
  const products = window.map((value, i) => (value ?? 0) * kernel[i]!);
  return make(
    "div",
    "windows",
    grid("window", window, size),
    make("span", "sign", "×"),
    grid("kernel", kernel, size),
    make("span", "sign", "="),
    grid(`products, sum ${decimal(sum)}`, products, size),
  );
}

function pool({ window, code, value }: Of<"pool">): Node[] {
  const bits = code.toString(2).padStart(2, "0");
  return [
    make("div", "windows", grid("window", window, 2, code)),
    make("p", "sum", `Largest of the four: ${decimal(value)}`),
    make(
      "p",
      "",
      `It stands in the ${PLACES[code]!}: code `,
      make("b", "", bits),
      `, two bits. The decoder gets this code, not the value’s row and column.`,
    ),
  ];
}

const PLACES = ["upper left", "upper right", "lower left", "lower right"];

function unpool({ from, row, column, code, lands, put, added }: Of<"unpool">): Node[] {
  const bits = code.toString(2).padStart(2, "0");
  const where = `The smaller map has ${decimal(from)} at row ${row}, column ${column}. Its code is `;
  const what = lands
    ? `: ${PLACES[code]!}. That is this pixel, so the value lands here.`
    : `: ${PLACES[code]!}. That is a neighbour of this pixel, so this pixel gets 0.`;
  const corners = [0, 1, 2, 3].map((each) => (each === code ? from : 0));
  return [
    make("p", "", where, make("b", "", bits), what),
    make("div", "windows", grid("the four pixels", corners, 2, code)),
    equation([["un-pooled", put], ...addition(added, "lateral map")]),
  ];
}
