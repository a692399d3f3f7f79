// The stems: a fader, meter, mute, solo and spectrogram for each.

const SILENT_AT = -61;  // the fader's lowest place is silence

const decibels = (value) => (value === null ? "silent" : `${value > 0 ? "+" : ""}${value.toFixed(0)} dB`);

export class Mixer {
  #rows = [];

  constructor(list, template, send) {
    this.list = list;
    this.template = template;
    this.send = send;
  }

  get spectra() { return this.#rows.map((row) => row.spectrum); }

  update(player, selected) {
    if (this.#rows.map((row) => row.name).join() !== ["mixture", ...player.stems].join()) this.#build(player.stems);
    const anySolo = player.faders.some((fader) => fader.solo);
    player.stems.forEach((_, index) => {
      const row = this.#rows[index + 1], fader = player.faders[index];
      const value = fader.gain_db ?? SILENT_AT;
      if (document.activeElement !== row.fader || !row.fader.matches(":active")) row.fader.value = value;
      row.fader.setAttribute("aria-valuetext", decibels(fader.gain_db));
      row.gain.textContent = decibels(fader.gain_db);
      row.mute.setAttribute("aria-pressed", fader.muted || fader.gain_db === null);
      row.solo.setAttribute("aria-pressed", fader.solo);
      row.meter.value = anySolo && !fader.solo ? -60 : level(player.levels[index]);
      row.item.classList.toggle("selected", index === selected);
    });
    this.#rows[0].meter.value = level(player.output);
  }

  #build(stems) {
    this.list.replaceChildren();
    this.#rows = ["mixture", ...stems].map((name, place) => {
      const item = this.template.content.cloneNode(true).querySelector("li");
      const row = { name, item };
      for (const part of ["mute", "solo", "gain", "fader", "spectrum"]) row[part] = item.querySelector(`.${part}`);
      row.meter = item.querySelector("meter");
      item.querySelector("h3").textContent = name;
      row.meter.setAttribute("aria-label", place ? `${name} level` : "output level");
      if (place === 0) {
        for (const part of ["mute", "solo", "gain", "fader"]) row[part].remove();
      } else {
        const stem = place - 1;
        row.fader.setAttribute("aria-label", `${name} gain`);
        row.mute.setAttribute("aria-label", `Mute ${name}`);
        row.solo.setAttribute("aria-label", `Solo ${name}`);
        row.fader.addEventListener("input", () => {
          const value = Number(row.fader.value);
          this.send({ command: "set_gain", stem, gain_db: value === SILENT_AT ? null : value });
        });
        row.fader.addEventListener("dblclick", () => this.send({ command: "set_gain", stem, gain_db: 0 }));
        row.fader.addEventListener("focus", () => this.send({ command: "select", stem }));
        row.mute.addEventListener("click", () => this.send({ command: "toggle_mute", stem }));
        row.solo.addEventListener("click", () => this.send({ command: "toggle_solo", stem }));
      }
      this.list.append(item);
      return row;
    });
  }
}

const level = (levels) => Math.max(-60, levels?.rms_db ?? -60);
