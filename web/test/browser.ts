/** The built page in Chromium, opened from a file as visitors open it, and what tests ask of it. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { expect } from "vitest";
import { chromiumPath } from "./surroundings.ts";

const FLAGS = [
  "--no-sandbox", // CI runs as root
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--use-fake-device-for-media-stream=fps=60",
  "--use-fake-ui-for-media-stream",
];
const PLACE = '<script type="application/octet-stream" id="model"></script>';

export const folder = mkdtempSync(join(tmpdir(), "segnet-page-"));

/** Builds the pages, and returns the text of one. */
export function buildPage(name = "page.html"): string {
  const web = fileURLToPath(new URL("..", import.meta.url));
  execFileSync(process.execPath, [join(web, "build.mjs"), folder]);
  return readFileSync(join(folder, name), "utf8");
}

/** Writes a page with a model file inside, as Python does, and returns its address. */
export function pageWith(page: string, model: Uint8Array, name: string): string {
  expect(page.split(PLACE)).toHaveLength(2);
  const inside = gzipSync(model, { level: 9 }).toString("base64");
  return write(name, page.replace(PLACE, PLACE.replace("></", `>${inside}</`)));
}

export function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return pathToFileURL(file).href;
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath!, args: FLAGS });
}

/** A page, and what it must not do: log, throw, or ask any host for anything. */
export interface Visit {
  page: Page;
  faults: string[];
}

export async function visit(
  browser: Browser,
  address: string,
  options: BrowserContextOptions & { before?: string } = {},
): Promise<Visit> {
  const { before, ...context } = options;
  const page = await (await browser.newContext(context)).newPage();
  const faults: string[] = [];
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`thrown: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && request.url() !== address)
      faults.push(`request: ${request.url()}`);
  });
  if (before) await page.addInitScript(before);
  await page.goto(address);
  return { page, faults };
}

/** Gives the page files as a visitor drops or pastes them. */
export async function give(page: Page, how: "drop" | "paste", path: string, name: string): Promise<void> {
  const content = readFileSync(path).toString("base64");
  await page.evaluate(
    ({ how, content, name }) => {
      const carried = new DataTransfer();
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      carried.items.add(new File([bytes], name, { type: "image/png" }));
      document.dispatchEvent(
        how === "drop"
          ? new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })
          : new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }),
      );
    },
    { how, content, name },
  );
}

/** Returns the pixels of an image file, decoded by the browser, or what a canvas shows. */
export async function pixelsOf(page: Page, source: { file: string } | { canvas: string }) {
  const content = "file" in source ? readFileSync(source.file).toString("base64") : "";
  const canvas = "canvas" in source ? source.canvas : "";
  const { width, height, text } = await page.evaluate(
    async ({ content, canvas }) => {
      let from = document.querySelector<HTMLCanvasElement>(canvas || "canvas")!;
      if (content) {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const image = await createImageBitmap(new Blob([bytes]));
        from = document.createElement("canvas");
        [from.width, from.height] = [image.width, image.height];
        from.getContext("2d")!.drawImage(image, 0, 0);
      }
      const { data, width, height } = from.getContext("2d")!.getImageData(0, 0, from.width, from.height);
      let text = "";
      for (const byte of data) text += String.fromCharCode(byte);
      return { width, height, text: btoa(text) };
    },
    { content, canvas },
  );
  return { width, height, channels: 4, data: new Uint8Array(Buffer.from(text, "base64")) };
}
