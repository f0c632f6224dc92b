/**
 * What the page's tests need: a browser, and files in the folder that SEGNET_FIXTURES names, made by
 * `tests/web/make_fixtures.py`:
 *
 * - `squeezed.segnet`: the bundled pets-nano, as `segnet export --to web` writes it;
 * - `pet-0.png`, `pet-1.png`, `pet-2.png`: pets that segnet draws; `pet-0-mask.png` and so on: their masks.
 *
 * Tests skip without either, and their name says which.
 */

import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const folder = process.env["SEGNET_FIXTURES"] ?? "";

export function fixture(name: string): string {
  return join(folder, name);
}

/** Where Chromium is, or undefined. */
export const chromiumPath = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => (process.env["PATH"] ?? "").split(delimiter).map((place) => join(place, name)))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

const lacking = [chromiumPath ? "" : "Chromium", existsSync(fixture("pet-0.png")) ? "" : "SEGNET_FIXTURES"];

/** What is not here: `Chromium`, `SEGNET_FIXTURES`, both, or an empty text. */
export const missing = lacking.filter(Boolean).join(" and ");
