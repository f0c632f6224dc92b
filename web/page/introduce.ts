/** What the page says of its model: name, classes, size, licence. */

import type { Model } from "../engine/index.ts";
import { find, say } from "../shared/elements.ts";
import { bytes, count, oneOf } from "../shared/words.ts";

/** Fills the header and the footer, and invites photos. */
export function introduce({ header, weights }: Model, fileBytes: number): void {
  const { model, classes, size, notice, segnet } = header;
  const numbers = weights.reduce((sum, { kernel, bias }) => sum + kernel.length + bias.length, 0);
  const [height, width] = size;
  const found = classes.names.filter((_, id) => id !== header.background);
  document.title = `${found.join(", ")} · segnet`;
  say(find("name", HTMLElement), model);
  say(find("task", HTMLElement), `Paints each pixel of a photo as ${oneOf(classes.names)}.`);
  const facts = [`Works at ${width} × ${height} pixels`, `${count(numbers)} weights`, bytes(fileBytes)];
  say(find("facts", HTMLElement), facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · "));
  say(find("notice", HTMLElement), notice || "The model file names no licence for its weights.");
  say(find("version", HTMLElement), `segnet ${segnet}`);
  say(find("invitation", HTMLElement), "Drop photos here, paste one, or start the camera");
  say(find("hint", HTMLElement), "Any image that your browser opens, such as JPEG, PNG or WebP.");
  find("panel", HTMLElement).hidden = false;
}

/** Invites a model file, where the page holds none. */
export function askForModel(): void {
  say(find("invitation", HTMLElement), "Open a model file");
  say(find("hint", HTMLElement), "Choose or drop a .segnet file that segnet export RUN --to web wrote.");
}
