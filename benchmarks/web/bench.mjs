// Latency of ONNX files in onnxruntime-web: WebAssembly, one thread, in turns, as ratios to the first file.
// npm install onnxruntime-web, beside a copy of this file; then: node bench.mjs FIRST.onnx OTHER.onnx
import fs from "fs";
import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
const files = process.argv.slice(2);
const values = Float32Array.from({ length: 3 * 128 * 128 }, () => 255 * Math.random());
const image = new ort.Tensor("float32", values, [1, 3, 128, 128]);
const sides = [];
for (const file of files) {
  const session = await ort.InferenceSession.create(fs.readFileSync(file));
  sides.push({ file, run: () => session.run({ [session.inputNames[0]]: image }), times: [] });
}
for (let turn = 0; turn < 35; turn++) {
  for (const side of sides) {
    const start = performance.now();
    await side.run();
    if (turn >= 5) side.times.push(performance.now() - start); // the first ones warm up
  }
}
const fastest = (side) => Math.min(...side.times);
const median = (side) => side.times.slice().sort((a, b) => a - b)[side.times.length >> 1];
for (const side of sides) {
  const ratios = [fastest, median].map((of) => (of(side) / of(sides[0])).toFixed(2));
  console.log(side.file, fastest(side).toFixed(1), median(side).toFixed(1), "ms; of the first's", ...ratios);
}
