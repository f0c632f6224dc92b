/** What the explainer shows a visitor, and that its numbers are the engine's. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Engine, prepare, readModel, type Picture } from "../engine/index.ts";
import { meanIou, ForwardPass, UNBROKEN } from "../explain/forward_pass.ts";
import { buildPage, give, launch, pageWith, pixelsOf, visit, write, type Visit } from "./browser.ts";
import { fixture, missing } from "./surroundings.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PLACE = '<script type="application/json" id="examples"></script>';

describe.skipIf(missing)(
  `the explainer${missing && ` (skipped: needs ${missing})`}`,
  { timeout: 60_000 },
  () => {
    let browser: Browser;
    let built: string;
    let address: string;
    let model: Uint8Array;
    let visits: Visit[] = [];

    beforeAll(async () => {
      built = buildPage("explain.html");
      model = readFileSync(fixture("squeezed.segnet"));
      browser = await launch();
      const png = (name: string): string => readFileSync(fixture(name)).toString("base64");
      const examples = [
        { name: "Drawn pet 1", png: png("pet-0.png"), mask: png("pet-0-mask.png") },
        { name: "Drawn pet 2", png: png("pet-1.png"), mask: null },
      ];
      expect(built.split(PLACE)).toHaveLength(2);
      const filled = built.replace(PLACE, PLACE.replace("></", `>${JSON.stringify(examples)}</`));
      address = pageWith(filled, model, "explain.html");
    }, 60_000);

    afterAll(() => browser?.close());

    afterEach(async () => {
      const faults = visits.flatMap((each) => each.faults);
      await Promise.all(visits.map(({ page }) => page.context().close()));
      visits = [];
      expect(faults).toEqual([]); // nothing on the console, and no request
    });

    async function open(options: Parameters<typeof visit>[2] = {}, at = address): Promise<Page> {
      const opened = await visit(browser, at, options);
      visits.push(opened);
      await opened.page.waitForSelector("#choose:enabled");
      return opened.page;
    }

    /** What the engine computes here, under Node, of the first drawn pet. */
    async function expected(page: Page, breaks = UNBROKEN, file = "pet-0.png"): Promise<ForwardPass> {
      const engine = await Engine.create(readModel(model));
      const photo: Picture = await pixelsOf(page, { file: fixture(file) });
      return new ForwardPass(engine, prepare(photo, engine.model.header), breaks);
    }

    const text = (page: Page, selector: string): Promise<string> => page.innerText(selector);

    /** The class of each pixel of the mask that the page shows. */
    async function shownMask(page: Page): Promise<Uint8Array> {
      const { colours } = readModel(model).header.classes;
      const { data } = await pixelsOf(page, { canvas: "#mask" });
      return Uint8Array.from({ length: data.length / 4 }, (_, i) =>
        colours.findIndex((colour) => colour.every((value, c) => value === data[4 * i + c])),
      );
    }

    /** Presses Tab until an element has the focus. */
    async function tabTo(page: Page, selector: string): Promise<void> {
      await expect
        .poll(async () => {
          await page.keyboard.press("Tab");
          return page.evaluate((selector) => document.activeElement?.matches(selector), selector);
        })
        .toBe(true);
    }

    async function readNumber(page: Page): Promise<number> {
      return Number((await text(page, "#layer output")).replace("−", "-"));
    }

    test("is alive with the first drawn pet: its mask, score and all layers", async () => {
      const page = await open();
      const pass = await expected(page);
      expect(await text(page, "#facts")).toContain("segnet-nano: 42 layers, 85,804 parameters");
      expect(await page.locator("#network button").count()).toBe(42);
      expect(await page.locator("#network h3").allInnerTexts()).toEqual([
        "Encoder 1",
        "Encoder 2",
        "Encoder 3",
        "Bottleneck",
        "Decoder 1",
        "Decoder 2",
        "Decoder 3",
      ]);
      expect(Buffer.compare(await shownMask(page), pass.mask)).toBe(0);
      const { data } = await pixelsOf(page, { canvas: "#network canvas" });
      expect(data.some((value, i) => i % 4 === 0 && value > 200)).toBe(true);
    });

    test("opens a layer, and shows the sum behind any of its values as the engine has it", async () => {
      const page = await open({ viewport: { width: 1280, height: 1000 } });
      const pass = await expected(page);
      for (const tensor of [1, 3, 4, 7, 16, 28, 39, 42]) {
        await page.click(`[data-tensor="${tensor}"]`);
        const { width, height } = pass.map(tensor);
        const box = (await page.locator("#layer .map").boundingBox())!;
        for (const [row, column] of [
          [0, 0],
          [height - 1, width - 1],
          [height >> 1, width >> 2],
        ] as const) {
          const position = {
            x: ((column + 0.5) * box.width) / width,
            y: ((row + 0.5) * box.height) / height,
          };
          await page.locator("#layer .map").click({ position });
          const said = await text(page, "#layer .map + p");
          const channel = Number(/Channel (\d+)/.exec(said)![1]);
          expect(said).toContain(`Row ${row}, column ${column} is chosen.`);
          expect(await readNumber(page)).toBeCloseTo(pass.value(tensor, row, column, channel), 2);
        }
        await page.click("#back");
      }
    });

    test("shows another channel, and the window of another input", async () => {
      const page = await open({ viewport: { width: 1280, height: 1000 } });
      const pass = await expected(page);
      await page.click('[data-tensor="1"]');
      await page.locator("#layer .channels").click({ position: { x: 100, y: 10 } });
      const second = pass.strongest(1)[1]!;
      expect(await text(page, "#layer .channels + p")).toContain(`Channel ${second} is chosen.`);
      const last = page.locator("#layer .parts button").last();
      const name = (await last.locator("span").first().innerText()).trim();
      await last.click();
      expect(await text(page, "#layer .sums p")).toBe(`The window of input ${name}:`);
    });

    test("shows what each stage sees of the photo, and the logits of the pixel under the pointer", async () => {
      const page = await open();
      const pass = await expected(page);
      const box = (await page.locator("#mask").boundingBox())!;
      const scale = box.width / pass.picture.width;
      await page.mouse.move(box.x + 64.5 * scale, box.y + 40.5 * scale);
      expect(await text(page, "#field")).toMatch(
        /Encoder 1: 4×4; Encoder 2: 22×22; Encoder 3: 58×58; Bottleneck: /,
      );
      expect(await text(page, "#pixel caption")).toBe("Row 40, column 64");
      const rows = await page.locator("#pixel tbody tr").allInnerTexts();
      const logit = pass.logits.data[(40 * 128 + 64) * 3]!;
      const pet = rows.find((row) => row.startsWith("pet"))!;
      expect(Number(pet.split(/\s+/)[1]!.replace("−", "-"))).toBeCloseTo(logit, 2);
      await page.mouse.move(1, 1);
      expect(await text(page, "#field")).toMatch(/^Point at the photo/);
    });

    test("breaks the un-pooling, and says what it costs", async () => {
      const page = await open();
      const truth = (await pixelsOf(page, { file: fixture("pet-0-mask.png") })).data.filter(
        (_, i) => i % 4 === 0,
      );
      const percent = (mask: Uint8Array): string =>
        `${(100 * meanIou(mask, Uint8Array.from(truth), 3)).toFixed(1)} %`;
      const unbroken = await expected(page);
      expect(await text(page, "#score")).toBe(
        `Mean IoU with the drawn pet’s true mask: ${percent(unbroken.mask)}.`,
      );
      for (const unpooling of ["first", "random", "everywhere", "bilinear"] as const) {
        await page.check(`[value=${unpooling}]`);
        const { mask } = await expected(page, { unpooling, lateral: true });
        expect(Buffer.compare(await shownMask(page), mask)).toBe(0);
        expect(Buffer.compare(mask, unbroken.mask)).not.toBe(0);
        expect(await text(page, "#score")).toContain(`${percent(mask)}, `);
      }
      await page.check("[value=positions]");
      await page.check("#no-lateral");
      const { mask } = await expected(page, { unpooling: "positions", lateral: false });
      expect(Buffer.compare(await shownMask(page), mask)).toBe(0);
      await page.uncheck("#no-lateral");
      expect(Buffer.compare(await shownMask(page), unbroken.mask)).toBe(0);
    });

    test("compares with the unbroken mask where the truth is unknown", async () => {
      const page = await open();
      await page.click("#pets [alt='Drawn pet 2'] >> xpath=..");
      await page.waitForSelector("#pets li:nth-child(2) [aria-current]");
      expect(await text(page, "#score")).toBe("");
      await page.check("[value=random]");
      expect(await text(page, "#score")).toMatch(
        /^Mean IoU with the unbroken mask: \d+\.\d %\. .* unknown\.$/,
      );
    });

    test("shows the two bits over the photo, un-pooled and enlarged", async () => {
      const page = await open();
      await page.click("#views >> text=The two bits");
      expect(await page.locator("#bits section h3").allInnerTexts()).toEqual([
        "Codes over the photo",
        "Un-pooled by the positions",
        "Enlarged bilinearly",
      ]);
      expect(await text(page, "#bits > p:last-child")).toMatch(/^8,192 codes of two bits are 2,048 bytes\./);
      const before = await pixelsOf(page, { canvas: "#bits .map" });
      await page.fill("#bits-channel", "3");
      const after = await pixelsOf(page, { canvas: "#bits .map" });
      expect(Buffer.compare(before.data, after.data)).not.toBe(0);
    });

    test.each(["choose", "drop", "paste"] as const)("takes the visitor’s own photo by %s", async (how) => {
      const page = await open();
      if (how === "choose") await page.setInputFiles("#files", fixture("pet-2.png"));
      else await give(page, how, fixture("pet-2.png"), "pet-2.png");
      await expect.poll(() => page.getAttribute("#photo", "aria-label")).toBe("pet-2.png");
      const { mask } = await expected(page, UNBROKEN, "pet-2.png");
      expect(Buffer.compare(await shownMask(page), mask)).toBe(0);
    });

    test("refuses in one sentence a file that is no photo, and a page without a network", async () => {
      const page = await open();
      const buffer = Buffer.from("hello");
      await page.setInputFiles("#files", { name: "notes.txt", mimeType: "image/png", buffer });
      await expect
        .poll(() => text(page, "#errors"))
        .toMatch(/^notes\.txt is no image that a browser knows\./);
      const opened = await visit(browser, write("empty-explain.html", built));
      visits.push(opened);
      await expect.poll(() => text(opened.page, "#errors")).toMatch(/^This page has no network inside\./);
    });

    test("is used with the keyboard alone", async () => {
      const page = await open();
      await tabTo(page, "#pets li:nth-child(2) button");
      await page.keyboard.press("Enter");
      await page.waitForSelector("#pets li:nth-child(2) [aria-current]");
      await tabTo(page, '[data-tensor="1"]');
      for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
      await page.keyboard.press("Enter");
      expect(await text(page, "#layer h2")).toMatch(/^Layer 4 of 42: 3×3 depthwise convolution/);
      await tabTo(page, "#layer .channels");
      const before = await page.getAttribute("#layer .channels", "aria-valuetext");
      await page.keyboard.press("ArrowRight");
      expect(await page.getAttribute("#layer .channels", "aria-valuetext")).not.toBe(before);
      await tabTo(page, "#layer .map");
      const pixel = await page.getAttribute("#layer .map", "aria-valuetext");
      await page.keyboard.press("ArrowLeft");
      await page.keyboard.press("ArrowDown");
      expect(await page.getAttribute("#layer .map", "aria-valuetext")).not.toBe(pixel);
      await page.keyboard.press("Escape");
      expect(await page.evaluate("document.activeElement.dataset.tensor")).toBe("4");
      await tabTo(page, "#mask");
      await page.keyboard.press("ArrowUp");
      expect(await text(page, "#pixel caption")).toBe("Row 60, column 64");
      await tabTo(page, "[name=unpooling]");
      await page.keyboard.press("ArrowDown");
      expect(await text(page, "#score")).toContain("unbroken");
    });

    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [400, 1280]) {
        test(`has no fault that axe finds, ${colorScheme}, ${width} pixels wide`, async () => {
          const page = await open({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
          await page.evaluate(axe);
          const check = async (): Promise<void> => {
            const violations = await page.evaluate(
              "axe.run().then(({ violations }) => violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html)}`))",
            );
            expect(violations).toEqual([]);
            expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
          };
          await check();
          for (const tensor of [1, 7, 16, 28]) {
            await page.click(`[data-tensor="${tensor}"]`);
            await check();
            await page.click("#back");
          }
          await page.click("#views >> text=The two bits");
          await page.check("[value=random]");
          await check();
        });
      }
    }

    test("is within its size, and loads nothing", () => {
      expect(Buffer.byteLength(built)).toBeLessThan(120_000);
      expect(built).toContain("default-src 'none'; script-src 'sha256-");
      expect(built).not.toMatch(/unsafe-inline|style="|https?:\/\/(?!www\.w3\.org)/);
    });
  },
);
