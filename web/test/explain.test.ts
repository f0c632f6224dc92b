/** What the explainer shows a visitor, and that its numbers are the engine's. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Engine, prepare, readModel, type Picture } from "../engine/index.ts";
import { Breakable, UNBROKEN, type Breaks, type ForwardPass } from "../explain/forward_pass.ts";
import { readNorms } from "../explain/norms.ts";
import { boundaryF1, Confusion, mean, meanIou } from "../explain/scores.ts";
import type { Contents } from "../explain/contents.ts";
import { buildPage, give, launch, pageWith, pixelsOf, visit, write, type Visit } from "./browser.ts";
import { fixture, missing } from "./surroundings.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PLACE = '<script type="application/json" id="contents"></script>';

describe.skipIf(missing)(
  `the explainer${missing && ` (skipped: needs ${missing})`}`,
  { timeout: 60_000 },
  () => {
    let browser: Browser;
    let built: string;
    let address: string;
    let model: Uint8Array;
    let norms: Contents["norms"];
    let visits: Visit[] = [];

    beforeAll(async () => {
      built = buildPage("explain.html");
      model = readFileSync(fixture("squeezed.segnet"));
      norms = JSON.parse(readFileSync(fixture("nano-of-pets-norms.json"), "utf8")) as Contents["norms"];
      browser = await launch();
      const image = (name: string): string => readFileSync(fixture(name)).toString("base64");
      const pet = (number: number): string => image(`pet-${number}.png`);
      const contents: Contents = {
        examples: [
          { name: "Drawn pet 1", image: pet(0), mask: image("pet-0-mask.png") },
          { name: "Drawn pet 2", image: pet(1), mask: null },
          { name: "Drawn pet 3", image: pet(2), mask: image("pet-2-mask.png") },
        ],
        norms,
        learning: {
          run: "A run of two epochs.",
          classes: { pet: "#c83c28", background: "#000000" },
          pictures: [{ name: "a pet", image: pet(1), truth: image("pet-1-mask.png") }],
          epochs: [
            { epoch: 1, loss: 0.5, iou: 0.25, masks: [image("pet-0-mask.png")] },
            { epoch: 9, loss: 0.25, iou: null, masks: [image("pet-1-mask.png")] },
          ],
        },
        tutorial: "../tutorial/",
      };
      expect(built.split(PLACE)).toHaveLength(2);
      const filled = built.replace(PLACE, PLACE.replace("></", `>${JSON.stringify(contents)}</`));
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
      const picture = prepare(photo, engine.model.header);
      return new Breakable(engine, readNorms(norms)).run(picture, breaks);
    }

    /** The true classes of a drawn pet. */
    async function truthOf(page: Page, number: number): Promise<Uint8Array> {
      const { data } = await pixelsOf(page, { file: fixture(`pet-${number}-mask.png`) });
      return Uint8Array.from(data.filter((_, i) => i % 4 === 0));
    }

    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

    /** The rows of the table of scores, without their names. */
    async function scoresShown(page: Page): Promise<string[][]> {
      await expect.poll(() => page.innerText(".scores")).not.toContain("…");
      const rows = await page.locator(".scores tbody tr").all();
      return Promise.all(rows.map((row) => row.locator("td").allInnerTexts()));
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

    test("breaks the network, and says what it costs: of the pet that is shown, and of all drawn pets", async () => {
      const page = await open();
      const truths = { 0: await truthOf(page, 0), 2: await truthOf(page, 2) };
      const scored = async (breaks: Breaks): Promise<string[]> => {
        const [all, outlines] = [new Confusion(3), [] as number[]];
        for (const number of [0, 2] as const) {
          const { mask } = await expected(page, breaks, `pet-${number}.png`);
          all.add(mask, truths[number]);
          outlines.push(boundaryF1(mask, truths[number], 128, 3));
        }
        const { mask } = await expected(page, breaks);
        return [meanIou(mask, truths[0], 3), outlines[0]!, all.meanIou, mean(outlines)].map(percent);
      };
      const whole = await scored(UNBROKEN);
      expect(await scoresShown(page)).toEqual(whole.map((score) => [score]));
      const unbroken = (await expected(page)).mask;
      const ways: [selector: string, Partial<Breaks>][] = [
        ["[value=first]", { unpooling: "first" }],
        ["[value=random]", { unpooling: "random" }],
        ["[value=everywhere]", { unpooling: "everywhere" }],
        ["[value=bilinear]", { unpooling: "bilinear" }],
        ["#no-lateral", { lateral: false }],
        ["#no-norms", { norms: false }],
      ];
      for (const [selector, change] of ways) {
        const breaks = { ...UNBROKEN, ...change };
        await page.check(selector);
        const { mask } = await expected(page, breaks);
        expect(Buffer.compare(await shownMask(page), mask)).toBe(0);
        expect(Buffer.compare(mask, unbroken)).not.toBe(0);
        const broken = await scored(breaks);
        expect(await scoresShown(page)).toEqual(whole.map((score, i) => [score, broken[i]]));
        if (selector.startsWith("#")) await page.uncheck(selector);
        else await page.check("[value=positions]");
      }
      expect(Buffer.compare(await shownMask(page), unbroken)).toBe(0);
    }, 120_000);

    test("compares with the unbroken mask where the truth is unknown", async () => {
      const page = await open();
      await page.click("#pets [alt='Drawn pet 2'] >> xpath=..");
      await page.waitForSelector("#pets li:nth-child(2) [aria-current]");
      expect(await text(page, "#score")).toBe("");
      await page.check("[value=random]");
      expect(await text(page, "#score")).toMatch(
        /^Mean IoU with the unbroken mask: \d+\.\d %\. .* unknown\.$/,
      );
      await page.click("#views >> text=Paint");
      await expect.poll(() => text(page, "#paint [role=status]")).toMatch(/Choose one of the drawn pets/);
    });

    test("lets the visitor paint a mask, and scores it beside the network's", async () => {
      const page = await open({ viewport: { width: 1280, height: 1200 } });
      await page.click("#views >> text=Paint");
      const truth = await truthOf(page, 0);
      const painted = new Uint8Array(128 * 128).fill(1);
      const said = (mask: Uint8Array): string =>
        `mean IoU ${percent(meanIou(mask, truth, 3))}, boundary F1 ${percent(boundaryF1(mask, truth, 128, 3))}`;
      const network = said((await expected(page)).mask);
      const shown = (): Promise<string> => text(page, "#paint [role=status]");
      expect(await shown()).toBe(`You: ${said(painted)}. The network: ${network}.`);

      const box = (await page.locator("#painting").boundingBox())!;
      const at = (pixel: number): number => ((pixel + 0.5) * box.width) / 128;
      await page.mouse.move(box.x + at(40), box.y + at(60));
      await page.mouse.down();
      await page.mouse.move(box.x + at(60), box.y + at(60));
      await page.mouse.up();
      for (let x = 40; x <= 60; x++)
        for (let row = -3; row <= 3; row++)
          for (let column = -3; column <= 3; column++)
            if (row ** 2 + column ** 2 <= 3.5 ** 2) painted[(60 + row) * 128 + x + column] = 0;
      expect(await shown()).toBe(`You: ${said(painted)}. The network: ${network}.`);

      await page.check("#paint >> text=3 pixels");
      await page.check("#paint >> text=border");
      await page.focus("#painting");
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press(" ");
      const before = painted.slice();
      for (const [row, column] of [
        [61, 60],
        [60, 60],
        [62, 60],
        [61, 59],
        [61, 61],
        [60, 59],
        [60, 61],
        [62, 59],
        [62, 61],
      ] as const)
        painted[row * 128 + column] = 2;
      expect(await shown()).toBe(`You: ${said(painted)}. The network: ${network}.`);
      expect(await page.getAttribute("#painting", "aria-label")).toBe(
        "Row 61, column 60: border. Space paints border.",
      );
      await page.click("#paint >> text=Undo");
      expect(await shown()).toBe(`You: ${said(before)}. The network: ${network}.`);
      await page.focus("#painting");
      await page.keyboard.press(" ");
      const here = (): Promise<string | null> => page.getAttribute("#painting", "aria-label");
      expect(await here()).toMatch(/^Row 61, column 60: border\./);
      await page.keyboard.press("Control+z");
      expect(await here()).toMatch(/^Row 61, column 60: pet\./);
      expect(await shown()).toBe(`You: ${said(before)}. The network: ${network}.`);
      await page.mouse.move(box.x + at(20), box.y + at(20));
      await page.mouse.down();
      await page.mouse.move(box.x + at(20), box.y - 40);
      await page.mouse.up();
      expect(await here()).toMatch(/^Row 0, column 20: border\./);
      await page.click("#paint >> text=Start again");
      expect(await shown()).toContain(`You: ${said(new Uint8Array(128 * 128).fill(1))}.`);
    });

    test("shows a training epoch by epoch", async () => {
      const page = await open();
      await page.click("#views >> text=Learn");
      const said = (): Promise<string> => text(page, "#learn .choices + p");
      expect(await text(page, "#learn")).toContain("A run of two epochs.");
      expect(await said()).toBe("Epoch 9: training loss 0.250, mean IoU unknown on validation images.");
      const last = await page.getAttribute("#learn figure:nth-child(2) img", "src");
      await page.focus("#epoch");
      await page.keyboard.press("ArrowLeft");
      expect(await said()).toBe("Epoch 1: training loss 0.500, mean IoU 0.250 on validation images.");
      expect(await page.getAttribute("#epoch", "aria-valuetext")).toBe(await said());
      expect(await page.getAttribute("#learn figure:nth-child(2) img", "src")).not.toBe(last);
      expect(await page.locator(".side:visible").count()).toBe(0); // they show another network
      await page.click("#learn >> text=Play");
      await expect.poll(said).toMatch(/^Epoch 9/);
      await expect.poll(() => page.locator("#learn >> text=Play").count()).toBe(1);
    });

    test("plays no training where the visitor wants no motion", async () => {
      const page = await open({ reducedMotion: "reduce" });
      await page.click("#views >> text=Learn");
      expect(await page.isVisible("#epoch")).toBe(true);
      expect(await page.isVisible("#play")).toBe(false);
    });

    test("ends the tour at Escape, wherever the focus is", async () => {
      const page = await open();
      await page.click("#tour");
      for (let i = 0; i < 2; i++) await page.click(".tour .main");
      await page.focus("#layer .map");
      await page.keyboard.press("Escape");
      expect(await page.locator(".tour:visible").count()).toBe(0);
      expect(await page.evaluate("document.activeElement.id")).toBe("tour");
    });

    test("leads through the page, by pointer or by keys, and leaves it as it was", async () => {
      const page = await open();
      await page.focus("#tour");
      await page.keyboard.press("Enter");
      const titles: string[] = [];
      for (let i = 0; ; i++) {
        titles.push(await text(page, "#tour-title"));
        expect(await page.evaluate("document.activeElement.id")).toBe("tour-title");
        expect(await page.locator(".shown").count()).toBe(1);
        if (titles.at(-1)!.startsWith("7 of 9")) expect(await page.isChecked("[value=random]")).toBe(true);
        expect(await page.locator(".tour a").getAttribute("href")).toMatch(
          /^\.\.\/tutorial\/part-\d\.html#[a-z-]+$/,
        );
        const next = page.locator(".tour .main");
        if ((await next.innerText()) === "Done") break;
        if (i % 2) await next.click();
        else await tabTo(page, ".tour .main").then(() => page.keyboard.press("Enter"));
      }
      expect(titles).toHaveLength(9);
      await page.keyboard.press("Escape");
      expect(await page.evaluate("document.activeElement.id")).toBe("tour");
      expect(await page.locator(".shown, .tour:visible").count()).toBe(0);
      expect(await page.isVisible("#network")).toBe(true);
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
      expect(await page.isChecked("[value=first]")).toBe(true);
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
          await page.check("[value=random]");
          for (const view of ["The two bits", "Paint", "Learn"]) {
            await page.click(`#views >> text=${view}`);
            await check();
          }
          await page.click("#tour");
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
