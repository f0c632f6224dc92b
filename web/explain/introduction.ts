/** What the page says of its network, and its legend. */

import type { Model } from "../engine/index.ts";
import { find, make, say } from "../shared/elements.ts";
import { count } from "../shared/words.ts";
import { parametersOf } from "./network.ts";

/** Says which network it is, and what the colours mean. */
export function introduce(model: Model): void {
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
  key.append(
    make("h2", "", "Legend"),
    make(
      "ul",
      "key small",
      item("line positions", "positions, two bits each"),
      item("line lateral", "lateral maps"),
      item("scale", "a map’s values: negative, 0, positive. Each map has its own scale."),
      ...classes,
    ),
    make("p", "small soft", "Batch norm is folded into the convolutions."),
  );
}
