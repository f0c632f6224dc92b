/** What the tour shows, for the layers that a network has. */

import type { Header } from "../engine/index.ts";
import { find } from "../shared/elements.ts";
import { UNBROKEN, type Breaks } from "./forward_pass.ts";
import type { Step } from "./tour.ts";

/** What the tour can do with the page. */
export interface Page {
  show: (view: "network" | "bits" | "paint" | "learn") => void;
  openLayer: (tensor: number) => void;
  setBreaks: (breaks: Breaks) => void;
  /** Shows the receptive fields of the pixel in the middle. */
  point: () => void;
  views: readonly string[];
}

export function stepsOf({ layers }: Header, page: Page): Step[] {
  const tensorOf = (op: string): number => layers.findIndex((layer) => layer.op === op) + 1;
  const [pool, unpool, depthwise] = [tensorOf("pool"), tensorOf("unpool"), tensorOf("depthwise")];
  const middle = find("middle", HTMLElement);
  const side = (id: string): HTMLElement => find(id, HTMLElement).parentElement!;
  const inLayer = (tensor: number) => (): HTMLElement => {
    page.openLayer(tensor);
    return middle;
  };
  const inView = (view: Parameters<Page["show"]>[0]) => (): HTMLElement => {
    page.show(view);
    return middle;
  };
  const steps: (Step | false)[] = [
    {
      title: "A class for every pixel",
      text: "The network takes the photo on the left and gives each pixel a class: the mask on the right. The table says how near that comes to the true mask.",
      section: "segmentation",
      go: () => {
        page.show("network");
        return side("mask").parentElement!;
      },
    },
    {
      title: "Down and up",
      text: "The encoder makes maps smaller and finds what is in the photo; the decoder makes them large again and says where. Each strip shows a layer’s maps: orange is positive, blue is negative.",
      section: "network",
      go: inView("network"),
    },
    {
      title: "One value is a sum",
      text: "A convolution multiplies a window by its kernel and adds up. Here are the real numbers of one value, and what batch norm and ReLU make of the sum.",
      section: "convolution",
      go: inLayer(1),
    },
    depthwise > 0 && {
      title: "A cheaper convolution",
      text: "A depthwise convolution reads one channel alone; the 1×1 convolution after it mixes the channels. Together they take a fraction of the multiplications.",
      section: "separable",
      go: inLayer(depthwise),
    },
    pool > 0 && {
      title: "A pool keeps one value of four",
      text: "Max-pooling keeps the largest of each 2×2 window. A code of two bits remembers in which corner it stood.",
      section: "pooling",
      go: inLayer(pool),
    },
    page.views.includes("bits") && {
      title: "The two bits, over the photo",
      text: "Every arrow points to a window’s maximum. The decoder puts values back to these very pixels, so outlines stay sharp where a bilinear enlargement blurs them.",
      section: "pooling",
      go: inView("bits"),
    },
    unpool > 0 && {
      title: "Break it",
      text: "Now every value goes to a random corner of its window. Look at the mask’s outline, and at what it costs on all drawn pets.",
      section: "pooling",
      go: () => {
        page.show("network");
        page.setBreaks({ ...UNBROKEN, unpooling: "random" });
        return side("mask").parentElement!;
      },
    },
    {
      title: "What a value can see",
      text: "The boxes on the photo are receptive fields: how much of it each stage sees around one pixel. Deep stages see most of the animal.",
      section: "network",
      go: () => {
        page.setBreaks(UNBROKEN);
        page.point();
        return side("photo").parentElement!;
      },
    },
    page.views.includes("learn") && {
      title: "How it learns",
      text: "Drag the slider: after the first epochs the network knows background, then the pet, and last its outline.",
      section: "learning",
      go: inView("learn"),
    },
  ];
  return steps.filter((step): step is Step => step !== false);
}
