// As much of a browser as the parts of the page take in Node: elements are made when they are asked for. Import this first.

type Values = Record<string, unknown>;

/** An element, a canvas and a video in one. */
export class FakeElement extends EventTarget {
  hidden = false;
  disabled = false;
  checked = false;
  value = "";
  textContent = "";
  title = "";
  files: File[] | null = null;
  children: FakeElement[] = [];
  dataset: Values = {};
  classList = { toggle: () => undefined };
  style = { setProperty: () => undefined };
  width = 0;
  height = 0;
  paused = true;
  ended = false;
  currentTime = 0;
  videoWidth = 0;
  videoHeight = 0;
  seekable = [];
  src = "";
  srcObject: unknown = null;
  private onFrame: (now: number, frame: { mediaTime: number }) => void = () => undefined;

  append(...nodes: FakeElement[]): void {
    this.children.push(...nodes);
  }

  replaceChildren(...nodes: FakeElement[]): void {
    this.children = nodes;
  }

  querySelector(): FakeElement {
    return new FakeElement();
  }

  setAttribute(): void {}

  removeAttribute(): void {
    this.src = "";
  }

  getContext(): object {
    return new Proxy({}, { get: () => () => ({ data: new Uint8ClampedArray(4 * 160 * 120) }) });
  }

  focus(): void {}

  click(): void {
    this.dispatchEvent(new Event("click"));
  }

  async play(): Promise<void> {
    this.paused = false;
  }

  pause(): void {
    this.paused = true;
    this.dispatchEvent(new Event("pause"));
  }

  requestVideoFrameCallback(onFrame: typeof this.onFrame): void {
    this.onFrame = onFrame;
  }

  /** Show a frame of the video. */
  showFrame(mediaTime: number): void {
    this.onFrame(0, { mediaTime });
  }
}

let elements = new Map<string, FakeElement>();

export function element(id: string): FakeElement {
  const found = elements.get(id) ?? new FakeElement();
  elements.set(id, found);
  return found;
}

/** Begin a test with an empty page. */
export function clearPage(): void {
  elements = new Map();
}

/** What `createImageBitmap` returns. */
export class FakeBitmap {
  isClosed = false;
  width = 8;
  height = 8;

  close(): void {
    this.isClosed = true;
  }
}

class FakeCanvas extends FakeElement {
  async convertToBlob(): Promise<Blob> {
    return new Blob([]);
  }
}

const globals: Values = {
  document: {
    baseURI: "http://localhost/",
    documentElement: new FakeElement(),
    body: new FakeElement(),
    getElementById: element,
    querySelector: (selector: string) => element(selector.slice(1)),
    createElement: () => new FakeElement(),
    addEventListener: () => undefined,
  },
  navigator: { language: "en", mediaDevices: {} },
  OffscreenCanvas: FakeCanvas,
  createImageBitmap: async () => new FakeBitmap(),
  innerWidth: 1000,
};
for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
