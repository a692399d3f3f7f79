// "Listen here": the sound of the player in this browser, through an AudioWorklet with a ring.

import { Connection } from "/static/connection.js";

const REPORT_MS = 500;

export class Listening {
  #context = null;
  #node = null;
  #connection = null;
  #fillS = 0;
  #gaps = 0;

  constructor(button, sampleRate, onReport) {
    this.button = button;
    this.sampleRate = sampleRate;
    this.onReport = onReport;
    button.addEventListener("click", () => (this.#context ? this.#stop() : this.#start()));
  }

  // What is heard is this much later than what the player has mixed: the ring, and the browser's own.
  get latencyText() {
    if (!this.#context) return null;
    const ownS = (this.#context.baseLatency || 0) + (this.#context.outputLatency || 0);
    return `${(1000 * (this.#fillS + ownS)).toFixed(0)} ms behind the player, ${this.#gaps} gaps`;
  }

  async #start() {
    // At the player's rate where the browser can: it then resamples by itself.
    try { this.#context = new AudioContext({ sampleRate: this.sampleRate, latencyHint: "interactive" }); }
    catch { this.#context = new AudioContext(); }
    this.button.setAttribute("aria-pressed", true);
    await this.#context.audioWorklet.addModule("/static/ring-worklet.js");
    this.#node = new AudioWorkletNode(this.#context, "rtsep-ring", {
      numberOfInputs: 0, outputChannelCount: [2], processorOptions: { sourceRate: this.sampleRate },
    });
    this.#node.port.onmessage = ({ data }) => {
      this.#fillS = data.fill / this.sampleRate;
      this.#gaps = data.gaps;
      this.onReport();
    };
    this.#node.connect(this.#context.destination);
    await this.#context.resume();
    this.#connection = new Connection("/sound", {
      onBytes: (buffer) => this.#node?.port.postMessage(buffer, [buffer]),
      onChange: () => {},
    });
  }

  #stop() {
    this.#connection?.close();
    this.#context.close();
    this.#context = this.#node = this.#connection = null;
    this.button.setAttribute("aria-pressed", false);
    this.onReport();
  }
}
