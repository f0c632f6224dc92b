/** The camera: one call for each new frame, until it is stopped. */

import { Refusal } from "../shared/words.ts";

const WANTED: MediaStreamConstraints = {
  audio: false,
  video: {
    width: { ideal: 640 },
    height: { ideal: 480 },
    frameRate: { ideal: 60 },
    facingMode: { ideal: "environment" },
  },
};

/** What the browser calls an error, and what it means for the visitor. */
const REASONS: Record<string, string> = {
  NotAllowedError:
    "The camera is blocked for this page. Allow it in the browser’s settings for this page, then start it again.",
  NotFoundError: "This computer has no camera that the browser can find. Photos work without one.",
  NotReadableError:
    "The camera is in use by another program. Close that program, then start the camera again.",
  AbortError: "The camera could not be started. Unplug it, plug it in again, then start it again.",
};
const NONE = "This browser gives pages opened from a file no camera. Chrome, Edge and Firefox do.";

export class Camera {
  private readonly video = document.createElement("video");
  private stream: MediaStream | null = null;
  private starts = 0;

  /**
   * @param onFrame is given the video whenever it shows a new frame.
   * @param onLoss is called when the camera goes away by itself.
   */
  constructor(
    private readonly onFrame: (video: HTMLVideoElement) => void,
    private readonly onLoss: () => void,
  ) {
    this.video.muted = true;
    this.video.playsInline = true;
  }

  get isOn(): boolean {
    return this.stream !== null;
  }

  /** Throws a Refusal where there is no camera to be had. */
  async start(): Promise<void> {
    const start = ++this.starts;
    const stream = await openCamera();
    if (start !== this.starts) return end(stream); // stopped while the visitor was asked
    this.stream = stream;
    stream.getVideoTracks()[0]?.addEventListener("ended", () => {
      if (this.stream === stream) this.onLoss();
    });
    this.video.srcObject = stream;
    try {
      await this.video.play();
    } catch (error) {
      if (start === this.starts) throw error;
      return; // stopped before the first frame
    }
    this.next(stream);
  }

  stop(): void {
    this.starts++;
    if (this.stream) end(this.stream);
    this.stream = null;
    this.video.srcObject = null;
  }

  private next(stream: MediaStream): void {
    const frame = (): void => {
      if (this.stream !== stream) return;
      if (this.video.videoWidth) this.onFrame(this.video);
      this.next(stream);
    };
    // Firefox before 132 can't say when a frame is new.
    if ("requestVideoFrameCallback" in this.video) this.video.requestVideoFrameCallback(frame);
    else requestAnimationFrame(frame);
  }
}

async function openCamera(): Promise<MediaStream> {
  const devices: MediaDevices | undefined = navigator.mediaDevices;
  if (!devices) throw new Refusal(NONE);
  try {
    return await devices.getUserMedia(WANTED);
  } catch (error) {
    const reason = error instanceof DOMException ? REASONS[error.name] : undefined;
    throw reason ? new Refusal(reason) : error;
  }
}

function end(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
