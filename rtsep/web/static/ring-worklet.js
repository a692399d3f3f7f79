// The ring of "listen here": takes blocks as they come, and plays them at the rate of the audio device.
//
// One resampler runs through all blocks. Where both rates are equal and the ring is about as full as wanted, it passes
// samples on as they are. The clock of the server and that of the device drift apart: when the ring gets too full or
// too empty, the pace changes by a thousandth, which nobody hears.

const CAPACITY = 1 << 17;  // frames, 3 s
const WANTED_S = 0.12, START_S = 0.12, SLACK_S = 0.08;
const CORRECTION = 1e-3;
const TAPS = 32, PHASES = 512;
const REPORT_BLOCKS = 172;  // half a second

// Windowed sinc for each of PHASES places between two samples; `cutoff` below 1 where the device is slower.
function makeTable(cutoff) {
  const table = new Float32Array((PHASES + 1) * TAPS);
  for (let phase = 0; phase <= PHASES; phase++) {
    let sum = 0;
    const at = phase * TAPS;
    for (let tap = 0; tap < TAPS; tap++) {
      const x = tap - (TAPS / 2 - 1) - phase / PHASES;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / (TAPS / 2));
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      table[at + tap] = Math.abs(x) < TAPS / 2 ? sinc * window : 0;
      sum += table[at + tap];
    }
    for (let tap = 0; tap < TAPS; tap++) table[at + tap] /= sum;
  }
  return table;
}

class Ring extends AudioWorkletProcessor {
  constructor({ processorOptions: { sourceRate } }) {
    super();
    this.rings = [new Float32Array(CAPACITY), new Float32Array(CAPACITY)];
    this.ratio = sourceRate / sampleRate;
    this.table = makeTable(Math.min(1, 1 / this.ratio));
    this.sourceRate = sourceRate;
    this.end = 0;  // frames received
    this.position = 0;  // of the next output, in frames received; a fraction
    this.started = false;
    this.step = this.ratio;
    this.gaps = 0;
    this.blocks = 0;
    this.port.onmessage = ({ data }) => this.take(new Float32Array(data));
  }

  take(samples) {
    const frames = samples.length / 2, [left, right] = this.rings;
    for (let frame = 0; frame < frames; frame++) {
      const at = (this.end + frame) & (CAPACITY - 1);
      left[at] = samples[2 * frame];
      right[at] = samples[2 * frame + 1];
    }
    this.end += frames;
    if (this.end - this.position > CAPACITY - TAPS) this.jump();  // the page was asleep
  }

  // Go on with the newest sound.
  jump() {
    this.position = this.end - Math.round(WANTED_S * this.sourceRate);
    this.gaps += 1;
  }

  process(_inputs, [output]) {
    const needed = this.step * output[0].length + TAPS;
    const fill = this.end - this.position;
    if (!this.started && fill >= START_S * this.sourceRate) this.started = true;
    else if (this.started && fill < needed) {
      this.started = false;
      this.gaps += 1;
    }
    if (this.started) {
      this.pace(fill);
      this.render(output);
    }
    if (++this.blocks % REPORT_BLOCKS === 0) {
      this.port.postMessage({ fill: this.end - this.position, gaps: this.gaps });
    }
    return true;
  }

  pace(fill) {
    const offS = fill / this.sourceRate - WANTED_S;
    if (Math.abs(offS) > SLACK_S) this.step = this.ratio * (1 + Math.sign(offS) * CORRECTION);
    else if (Math.abs(offS) < SLACK_S / 4) this.step = this.ratio;
  }

  render(output) {
    const mask = CAPACITY - 1, { table } = this;
    const frames = output[0].length;
    for (let frame = 0; frame < frames; frame++) {
      const whole = Math.floor(this.position), fraction = (this.position - whole) * PHASES;
      const phase = Math.floor(fraction), weight = fraction - phase, at = phase * TAPS;
      for (let channel = 0; channel < output.length; channel++) {
        const ring = this.rings[channel];
        let sum = 0;
        for (let tap = 0; tap < TAPS; tap++) {
          const coefficient = table[at + tap] + weight * (table[at + TAPS + tap] - table[at + tap]);
          sum += coefficient * ring[(whole + tap - (TAPS / 2 - 1)) & mask];
        }
        output[channel][frame] = sum;
      }
      this.position += this.step;
    }
  }
}

registerProcessor("rtsep-ring", Ring);
