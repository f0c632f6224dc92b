/** The classes: colour, name, share of the area; a click hides or shows one. */

import type { Header } from "../engine/index.ts";
import { make, say } from "../shared/elements.ts";
import { percent } from "../shared/words.ts";

interface Row {
  button: HTMLButtonElement;
  share: HTMLElement;
}

export class Legend {
  readonly hidden = new Set<number>();
  private rows: Row[] = [];

  constructor(
    private readonly list: HTMLElement,
    private readonly onChange: () => void,
  ) {}

  /** Lists the classes of a model, all shown. */
  reset({ classes }: Header): void {
    this.hidden.clear();
    this.rows = classes.names.map((name, id) => this.row(name, id, classes.colours[id]!));
    this.list.replaceChildren(...this.rows.map(({ button }) => make("li", "", button)));
  }

  update(areas: readonly number[]): void {
    this.rows.forEach(({ button, share }, id) => {
      const area = areas[id] ?? 0;
      say(share, percent(area));
      button.style.setProperty("--share", area.toFixed(4));
    });
  }

  private row(name: string, id: number, colour: readonly number[]): Row {
    const share = make("span", "share");
    const bar = make("span", "track", make("i"));
    const button = make("button", "", make("span", "swatch"), make("span", "name", name), share, bar);
    button.type = "button";
    button.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!this.hidden.delete(id)) this.hidden.add(id);
      button.setAttribute("aria-pressed", String(!this.hidden.has(id)));
      this.onChange();
    });
    return { button, share };
  }
}
