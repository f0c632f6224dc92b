/**
 * Builds what the Python package carries: `page.html`, the page with everything inside but a model, and `engine.mjs`, the
 * engine for Node. The same input gives the same bytes. `node build.mjs [FOLDER]` writes them elsewhere.
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

const { script, style } = await bundle("page/main.ts", "iife");
const policy = [
  "default-src 'none'",
  `script-src ${hash(script)} 'wasm-unsafe-eval'`,
  `style-src ${hash(style)}`,
  "img-src blob: data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const parts = { POLICY: policy, STYLE: style, SCRIPT: script };
const frame = await readFile(join(here, "page/index.html"), "utf8");
const page = frame.replace(/%(POLICY|STYLE|SCRIPT)%/g, (_, part) => parts[part]);
const engine = await bundle("engine/index.ts", "es");

await mkdir(target, { recursive: true });
await writeFile(join(target, "page.html"), page);
await writeFile(join(target, "engine.mjs"), `${engine.script}\n`);
const sizes = { page, script, style, engine: engine.script };
console.log(
  Object.entries(sizes)
    .map(([name, text]) => `${name} ${Buffer.byteLength(text)} bytes`)
    .join(", "),
);
