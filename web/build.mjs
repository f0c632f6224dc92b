/**
 * Builds what the Python package carries: `page.html` and `explain.html`, pages with everything inside but a model, and
 * `engine.mjs`, the engine for Node. The same input gives the same bytes. `node build.mjs [FOLDER]` writes them elsewhere.
 */

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = process.argv[2] ?? join(here, "../src/segnet/export/web");

/** Bundles one entry with all that it imports; returns its script and its style. */
async function bundle(entry, format) {
  const { output } = await build({
    root: here,
    configFile: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2022",
      cssTarget: ["chrome103", "edge103", "firefox113", "safari16.4"],
      minify: true,
      modulePreload: false,
      cssCodeSplit: false,
      rolldownOptions: {
        input: join(here, entry),
        preserveEntrySignatures: "strict",
        output: { format, codeSplitting: false },
      },
    },
  });
  const script = output.find((part) => part.type === "chunk").code.trim();
  const style = output.find((part) => part.fileName.endsWith(".css"))?.source ?? "";
  return { script: script.replaceAll("</script", "<\\/script"), style: String(style).trim() };
}

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Puts a page into one file, whose policy names its script and its style by their hashes. */
async function page(folder) {
  const { script, style } = await bundle(`${folder}/main.ts`, "iife");
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)} 'wasm-unsafe-eval'`,
    `style-src ${hash(style)}`,
    "img-src blob: data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const parts = { POLICY: policy, STYLE: style, SCRIPT: script };
  const frame = await readFile(join(here, folder, "index.html"), "utf8");
  return frame.replace(/%(POLICY|STYLE|SCRIPT)%/g, (_, part) => parts[part]);
}

const files = {
  "page.html": await page("page"),
  "explain.html": await page("explain"),
  "engine.mjs": `${(await bundle("engine/index.ts", "es")).script}\n`,
};

await mkdir(target, { recursive: true });
for (const [name, text] of Object.entries(files)) await writeFile(join(target, name), text);
console.log(
  Object.entries(files)
    .map(([name, text]) => `${name} ${Buffer.byteLength(text)} bytes`)
    .join(", "),
);
