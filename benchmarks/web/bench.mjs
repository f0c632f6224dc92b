// Time networks as a browser runs them, in WebAssembly with one thread, by Node: .onnx files in onnxruntime-web and
// .segnet files in segnet's own engine. In a folder that has `npm install onnxruntime-web`, whichever it is:
//
//     node .../benchmarks/web/bench.mjs [--size HEIGHTxWIDTH] [--repeats N] model.onnx model.segnet ...
//
// The files take turns, each a run that isn't counted and one that is. Prints the fastest and the median
// milliseconds of one image, and the median's ratio to that of the first file. The engine uses relaxed SIMD where
// Node has it, as browsers do; Node before 22 takes --experimental-wasm-relaxed-simd before the script's name.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { size: { type: "string", default: "128" }, repeats: { type: "string", default: "30" } },
});
const [height, width = height] = values.size.split("x").map(Number);
const repeats = Number(values.repeats);
if (files.length === 0 || !(height > 0 && width > 0) || !(repeats >= 1)) {
  console.error("usage: node bench.mjs [--size HEIGHTxWIDTH] [--repeats N] model.onnx model.segnet ...");
  process.exit(2);
}

const ort = createRequire(join(process.cwd(), "here.js"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

const bytes = Uint8Array.from({ length: 3 * height * width }, () => Math.random() * 256);

async function inOnnxRuntime(file) {
  const planes = Float32Array.from(bytes, (_, i) => bytes[(i % (height * width)) * 3 + Math.floor(i / (height * width))]);
  const image = new ort.Tensor("float32", planes, [1, 3, height, width]);
  const session = await ort.InferenceSession.create(readFileSync(file));
  const input = session.inputNames[0];
  return { name: basename(file), run: () => session.run({ [input]: image }) };
}

async function inEngine(file) {
  const built = new URL("../../src/segnet/export/web/engine.mjs", import.meta.url);
  const { Engine, readModel } = await import(built.href);
  const engine = await Engine.create(readModel(readFileSync(file)));
  return { name: `${basename(file)} (${engine.backend})`, run: () => engine.run({ width, height, channels: 3, data: bytes }) };
}

const sides = [];
for (const file of files) {
  const side = await (file.endsWith(".segnet") ? inEngine(file) : inOnnxRuntime(file));
  sides.push({ ...side, times: [] });
}

const COLD_ROUNDS = 3;
for (let round = 0; round < COLD_ROUNDS + repeats; round++) {
  for (const side of sides) {
    await side.run();
    const started = performance.now();
    await side.run();
    if (round >= COLD_ROUNDS) side.times.push(performance.now() - started);
  }
}

function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

console.log(`onnxruntime-web ${ort.env.versions.web}, one thread, ${height}x${width}, ${repeats} rounds`);
console.log(`${"".padEnd(36)}${"fastest ms".padStart(12)}${"median ms".padStart(12)}${"ratio".padStart(9)}`);
const first = median(sides[0].times);
for (const { name, times } of sides) {
  const numbers = [Math.min(...times).toFixed(2), median(times).toFixed(2)].map((text) => text.padStart(12));
  console.log(name.padEnd(36) + numbers.join("") + (median(times) / first).toFixed(3).padStart(9));
}
