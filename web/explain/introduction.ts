/** What the page says of its network, and its legend. */

import type { Model } from "../engine/index.ts";
import { find, make, say } from "../shared/elements.ts";
import { count } from "../shared/words.ts";
import { linksOf, parametersOf, type Link } from "./network.ts";

/** Says which network it is, and what the colours mean. */
export function introduce(model: Model, knowsNorms: boolean): void {
  const { header } = model;
  const total = parametersOf(model).reduce((a, b) => a + b);
  say(
    find("facts", HTMLElement),
    `${header.model}: ${header.layers.length} layers, ${count(total)} parameters. Click a layer to see its maps and sums.`,
  );
  say(find("notice", HTMLElement), header.notice || "The model file names no licence for its weights.");
  say(find("version", HTMLElement), `segnet ${header.segnet}`);
  const key = find("key", HTMLElement);
  const item = (className: string, text: string): HTMLElement =>
    make("li", "", make("span", className), text);
  const classes = header.classes.names.slice(0, 12).map((name, id) => {
    const row = item("swatch", name);
    (row.firstElementChild as HTMLElement).style.background = `rgb(${header.classes.colours[id]!.join(" ")})`;
    return row;
  });
  const has = (kind: Link["kind"]): boolean => linksOf(header).some((link) => link.kind === kind);
  const kinds = [
    ...(has("positions") ? [item("line positions", "positions, two bits each")] : []),
    ...(has("lateral") ? [item("line lateral", "lateral maps")] : []),
  ];
  key.append(
    make("h2", "", "Legend"),
    make(
      "ul",
      "key small",
      ...kinds,
      item("scale", "a map’s values: negative, 0, positive. Each map has its own scale."),
      ...classes,
    ),
  );
  if (!knowsNorms) key.append(make("p", "small soft", "Batch norm is folded into the convolutions."));
}
