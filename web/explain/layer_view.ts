/** One layer: its channels, one of them large, and one of its values as a sum. */

import { make, say } from "../shared/elements.ts";
import { count } from "../shared/words.ts";
import { ChannelGrid, LargeMap } from "./choosers.ts";
import { nameOf, parametersOf, sizesOf } from "./network.ts";
import type { Place } from "./sum.ts";
import { sumView } from "./sum_view.ts";
import { about } from "./texts.ts";
import type { ForwardPass } from "./forward_pass.ts";

export class LayerView {
  private readonly title = make("h2", "title");
  private readonly text = make("p");
  private readonly facts = make("p", "small soft");
  private readonly grid = new ChannelGrid("Channel", (place) => this.go(place));
  private readonly large = new LargeMap("Pixel", (place) => this.go(place));
  private readonly gridText = make("p", "small soft");
  private readonly largeText = make("p", "small soft");
  private readonly sum = make("div", "sums");
  private pass: ForwardPass | null = null;
  private place: Place = { tensor: 1, row: 0, column: 0, channel: 0 };
  private part: number | null = null; // the input channel whose window is shown; by default the largest

  constructor(
    host: HTMLElement,
    private readonly onPlace: () => void,
    onClose: () => void,
  ) {
    const button = (text: string, act: () => void): HTMLButtonElement => {
      const made = make("button", "", text);
      made.type = "button";
      made.addEventListener("click", act);
      return made;
    };
    const back = button("Back to the network", onClose);
    const previous = button("Previous layer", () => this.step(-1));
    const next = button("Next layer", () => this.step(1));
    back.id = "back";
    this.title.tabIndex = -1;
    this.grid.canvas.className = "channels";
    this.large.canvas.className = "map";
    this.sum.setAttribute("aria-live", "polite");
    const part = (title: string, ...content: HTMLElement[]): HTMLElement =>
      make("section", "", make("h3", "", title), ...content);
    host.append(
      make("div", "buttons", back, previous, next),
      this.title,
      this.facts,
      this.text,
      make(
        "div",
        "zoom",
        part("Channels", this.grid.canvas, this.gridText),
        part("One channel", this.large.canvas, this.largeText),
        part("One value", this.sum),
      ),
    );
    new ResizeObserver(() => {
      this.grid.draw();
      this.large.draw();
    }).observe(host);
  }

  get shown(): Place {
    return this.place;
  }

  /** Shows a layer: its strongest channel, and there the largest value. */
  open(pass: ForwardPass, tensor: number): void {
    this.pass = pass;
    const channel = pass.strongest(tensor)[0]!;
    this.go({ tensor, channel, ...peak(pass, tensor, channel) });
    this.title.focus();
  }

  /** Shows the same place of another run. */
  update(pass: ForwardPass): void {
    this.pass = pass;
    this.go(this.place);
  }

  private step(by: number): void {
    const { pass } = this;
    const tensor = this.place.tensor + by;
    if (pass && tensor >= 1 && tensor <= pass.header.layers.length) this.open(pass, tensor);
  }

  private go(place: Place): void {
    if (place.tensor !== this.place.tensor || place.channel !== this.place.channel) this.part = null;
    this.place = place;
    this.tell();
    this.onPlace();
  }

  private tell(): void {
    const { pass, place } = this;
    if (!pass) return;
    const { header, model } = pass;
    const { tensor, channel, row, column } = place;
    const layer = header.layers[tensor - 1]!;
    const { height, width, channels } = pass.map(tensor);
    const [sizes, parameters] = [sizesOf(header), parametersOf(model)[tensor]!];
    const cost = parameters ? `${count(parameters)} parameters` : "no parameters";
    say(this.title, `Layer ${tensor} of ${header.layers.length}: ${nameOf(layer)}`);
    say(this.facts, `${layer.name} · ${sizes[layer.from]!} → ${sizes[tensor]!} · ${cost}`);
    say(
      this.text,
      about(layer, header, Boolean(pass.norms[tensor - 1]), pass.breaks.unpooling === "positions"),
    );
    const all = channels > 1 ? `${channels} channels, strongest first.` : "1 channel.";
    say(this.gridText, `${all} Channel ${channel} is chosen.`);
    say(this.largeText, `Channel ${channel}, ${width} × ${height}. Row ${row}, column ${column} is chosen.`);
    this.grid.show(pass, place);
    this.large.show(pass, place);
    const choose = (part: number): void => {
      this.part = part;
      this.tell();
      this.sum.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    };
    this.sum.replaceChildren(...sumView(pass, place, this.part, choose));
  }
}

/** Returns the pixel whose value is farthest from 0. */
function peak(pass: ForwardPass, tensor: number, channel: number): { row: number; column: number } {
  const { data, channels, width } = pass.map(tensor);
  let best = 0;
  for (let i = 0; i < data.length / channels; i++) {
    if (Math.abs(data[i * channels + channel]!) > Math.abs(data[best * channels + channel]!)) best = i;
  }
  return { row: Math.floor(best / width), column: best % width };
}
