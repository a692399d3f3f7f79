// The waveform of the song: click to jump, drag to loop, zoom around the play head.

const LEAST_DRAG_PX = 6, REFRESH_MS = 1000;

export class Waveform {
  #columns = null;
  #asked = "";
  #complete = false;
  #due = 0;
  #drag = null;

  constructor(canvas, { onSeek, onLoop }) {
    this.canvas = canvas;
    this.zoom = 0;
    this.song = null;
    this.lengthS = 0;
    this.positionS = 0;
    this.loopS = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#drag = [event.offsetX, event.offsetX];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#drag) { this.#drag[1] = event.offsetX; this.draw(); }
    });
    canvas.addEventListener("pointercancel", () => { this.#drag = null; });
    canvas.addEventListener("pointerup", () => {
      if (!this.#drag) return;
      const [from, to] = this.#drag.map((x) => this.#timeAt(x)).sort((a, b) => a - b);
      const isClick = Math.abs(this.#drag[0] - this.#drag[1]) < LEAST_DRAG_PX;
      this.#drag = null;
      if (isClick) onSeek(from);
      else onLoop(from, to);
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // The stretch of the song that is shown, in seconds.
  get shown() {
    const width = this.lengthS / 2 ** this.zoom;
    const begin = Math.min(Math.max(this.positionS - width / 2, 0), this.lengthS - width);
    const step = width / 8;  // it turns a page, rather than scrolling under the pointer
    const page = this.zoom ? Math.max(0, Math.min(Math.floor(begin / step) * step, this.lengthS - width)) : 0;
    return [page, page + width];
  }

  update(player) {
    if (player.file !== this.song || this.song === null) {
      this.song = player.file;
      this.#columns = null;
      this.#asked = "";
    }
    this.lengthS = player.length_s ?? 0;
    this.positionS = player.position_s;
    this.loopS = player.loop_s;
    this.#fetch();
    this.draw();
  }

  async #fetch() {
    const count = Math.min(2048, Math.max(1, Math.floor(this.canvas.clientWidth)));
    const [begin, end] = this.#drag ? [0, 0] : this.shown;
    if (!(end > begin)) return;
    const query = `begin_s=${begin.toFixed(3)}&end_s=${end.toFixed(3)}&count=${count}`;
    const wanted = `${this.song}?${query}`;
    if (wanted === this.#asked && (this.#complete || performance.now() < this.#due)) return;
    this.#asked = wanted;
    this.#due = performance.now() + REFRESH_MS;
    try {
      const answer = await fetch(`/waveform?${query}`);
      if (!answer.ok || wanted !== this.#asked) return;
      this.#complete = answer.headers.get("X-Complete") === "1";
      this.#columns = { begin, end, values: new Float32Array(await answer.arrayBuffer()) };
      this.draw();
    } catch {
      this.#asked = "";  // the server is away: asked again when it is back
    }
  }

  #timeAt(x) {
    const [begin, end] = this.shown;
    return Math.min(Math.max(begin + (x / this.canvas.clientWidth) * (end - begin), 0), this.lengthS);
  }

  draw() {
    const { canvas } = this, scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const context = canvas.getContext("2d"), style = getComputedStyle(canvas);
    context.clearRect(0, 0, width, height);
    const [begin, end] = this.shown;
    if (!(end > begin)) return;
    const xOf = (seconds) => ((seconds - begin) / (end - begin)) * width;
    if (this.#columns) {
      context.fillStyle = style.getPropertyValue("--wave");
      const { values, begin: first, end: last } = this.#columns, count = values.length / 3;
      for (let column = 0; column < count; column++) {
        const low = values[3 * column], high = values[3 * column + 1];
        if (Number.isNaN(low)) continue;
        const x = xOf(first + (column / count) * (last - first)), next = xOf(first + ((column + 1) / count) * (last - first));
        const top = (0.5 - high / 2) * height;
        context.fillRect(x, top, Math.max(1, next - x), Math.max(1, ((high - low) / 2) * height));
      }
    }
    const dragged = this.#drag && this.#drag.map((x) => this.#timeAt(x)).sort((a, b) => a - b);
    const loop = dragged ?? this.loopS;
    context.fillStyle = style.getPropertyValue("--loop");
    if (loop) context.fillRect(xOf(loop[0]), 0, Math.max(2, xOf(loop[1] ?? this.positionS) - xOf(loop[0])), height);
    context.fillStyle = style.getPropertyValue("--accent");
    context.fillRect(xOf(this.positionS) - scale, 0, 2 * scale, height);
  }
}
