/** What a visitor asks for is done, or one sentence in the page says why not. */

import { find, make } from "./elements.ts";
import { sentence } from "./words.ts";

const errors = find("errors", HTMLElement);

/** Does something that can fail; `what` begins the sentence about a failure that nobody foresaw. */
export async function attempt(what: string, deed: () => unknown): Promise<void> {
  try {
    await deed();
  } catch (error) {
    report(sentence(error, what));
  }
}

export function report(text: string): void {
  const close = make("button", "", "Close");
  close.type = "button";
  const box = make("div", "error", make("p", "", text), close);
  close.addEventListener("click", () => {
    box.remove();
    find("choose", HTMLElement).focus();
  });
  errors.append(box);
}

/** Takes away what was reported, when a visitor goes on. */
export function forget(): void {
  errors.replaceChildren();
}
