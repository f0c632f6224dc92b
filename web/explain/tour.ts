/** A tour of two minutes: each step brings the page to a thing and says what it is. */

import { make, say } from "../shared/elements.ts";
import { tutorialLink, type Section } from "./tutorial.ts";

export interface Step {
  title: string;
  text: string;
  section: Section;
  /** Brings the page there, and returns what is to be looked at. */
  go: () => HTMLElement;
}

export class Tour {
  private readonly box = make("section", "tour");
  private readonly title = make("h2", "");
  private readonly text = make("p");
  private readonly more = make("p", "small");
  private readonly back = make("button", "", "Back");
  private readonly next = make("button", "main", "Next");
  private step = 0;
  private shown: HTMLElement | null = null;

  /**
   * @param opener is the button that begins the tour, and has the focus again after it.
   * @param leave brings the page back to where it began.
   */
  constructor(
    private readonly steps: Step[],
    private readonly opener: HTMLButtonElement,
    private readonly folder: string | null,
    private readonly leave: () => void,
  ) {
    const { box, title, text, more, back, next } = this;
    const end = make("button", "", "End the tour");
    for (const button of [back, next, end]) button.type = "button";
    back.addEventListener("click", () => this.show(this.step - 1));
    next.addEventListener("click", () => (this.isLast ? this.end() : this.show(this.step + 1)));
    end.addEventListener("click", () => this.end());
    title.tabIndex = -1;
    title.id = "tour-title";
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-labelledby", "tour-title");
    box.hidden = true;
    box.append(title, text, more, make("div", "buttons", back, next, end));
    addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Escape" || box.hidden) return;
        event.stopPropagation();
        this.end();
      },
      { capture: true }, // before the page, which closes a layer at this key
    );
    document.body.append(box);
    opener.addEventListener("click", () => this.show(0));
  }

  private get isLast(): boolean {
    return this.step === this.steps.length - 1;
  }

  private show(number: number): void {
    this.step = number;
    const { title, text, section, go } = this.steps[number]!;
    this.shown?.classList.remove("shown");
    this.shown = go();
    this.shown.classList.add("shown");
    this.box.hidden = false;
    document.body.classList.add("touring");
    say(this.title, `${number + 1} of ${this.steps.length}: ${title}`);
    say(this.text, text);
    this.more.replaceChildren("More: ", tutorialLink(section, this.folder));
    this.back.disabled = number === 0;
    say(this.next, this.isLast ? "Done" : "Next");
    this.shown.scrollIntoView({ block: "center" });
    this.title.focus({ preventScroll: true });
  }

  private end(): void {
    this.shown?.classList.remove("shown");
    this.box.hidden = true;
    document.body.classList.remove("touring");
    this.leave();
    this.opener.focus();
  }
}
