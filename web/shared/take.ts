/** Files that a visitor chooses, drops or pastes. */

import { report } from "./attempt.ts";
import { find } from "./elements.ts";

/** Calls `use` with the files, however they come. */
export function takeFiles(button: HTMLButtonElement, use: (files: File[]) => Promise<void>): void {
  const input = find("files", HTMLInputElement);
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) void use(files);
  });

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) void use(files);
  });

  const root = document.documentElement;
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) root.classList.remove("dragging"); // left the window
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dragging");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) void use(files);
    else report("What was dropped is no file. Save the photo, then drop its file.");
  });
}
