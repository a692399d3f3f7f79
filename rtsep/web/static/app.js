// The page: shows the state that the server sends, and sends commands. All that can be done is in the table of commands.

import { Connection } from "/static/connection.js";
import { Mixer } from "/static/mixer.js";
import { drawSpectra } from "/static/spectrogram.js";
import { Waveform } from "/static/waveform.js";
import { Listening } from "/static/listen.js";
import { readKey } from "/static/keys.js";

const $ = (id) => document.getElementById(id);
const send = (command) => connection.send(command);
const MESSAGE_MS = 6000;

const mixer = new Mixer($("stems"), $("stem"), send);
const waveform = new Waveform($("waveform"), {
  onSeek: (position_s) => send({ command: "seek", position_s }),
  onLoop: (start_s, end_s) => send({ command: "set_loop", start_s, end_s }),
});
let keys = new Map();
let listening = null;
let player = null;
let messageTimer = 0;

const connection = new Connection("/control?spectra", {
  onMessage: (message) => handlers[message.type]?.(message),
  onBytes: (buffer) => drawSpectra(buffer, mixer.spectra),
  onChange: (isOpen) => { if (!isOpen) $("song").textContent = "connection lost, trying again"; },
});

const handlers = {
  hello(message) {
    document.body.classList.toggle("live", message.live);
    document.body.classList.toggle("browser", message.output === "browser");
    keys = new Map(message.keys.flatMap((binding) => Object.entries(binding.commands)));
    $("keys").replaceChildren(...message.keys.flatMap(({ shown, text }) => pair(shown, text)));
    if (message.output === "browser") listening ??= new Listening($("listen"), message.sample_rate, showLatency);
  },
  waiting({ text }) {
    player = null;
    $("song").textContent = text;
  },
  state({ state }) {
    player = state.player;
    $("song").textContent = player.live ? "live" : player.file;
    const play = $("play");
    play.textContent = player.playing ? "Pause" : "Play";
    play.dataset.state = player.playing ? "playing" : "paused";
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    $("time").textContent = player.live ? clock(player.position_s) : `${clock(player.position_s)} / ${clock(player.length_s)}`;
    $("bypass").setAttribute("aria-pressed", player.bypass);
    $("clear-loop").hidden = !player.loop_s;
    setRange($("volume"), player.volume_db, `${player.volume_db.toFixed(0)} dB`);
    $("position").max = player.length_s ?? 1;
    setRange($("position"), player.position_s, clock(player.position_s));
    setRange($("speed"), player.speed, `${player.speed.toFixed(2)} times`);
    setRange($("key"), player.key, `${player.key} semitones`);
    $("lyrics").textContent = player.sung?.text ?? "";
    $("metronome").setAttribute("aria-pressed", player.metronome);
    $("practice").textContent = [
      `speed ${player.speed.toFixed(2)}`, `key ${player.key > 0 ? "+" : ""}${player.key}`,
      ...(state.preset ? [state.preset] : []), ...(player.tempo_bpm ? [`${player.tempo_bpm.toFixed(0)} beats a minute`] : []),
    ].join(", ");
    choose($("output"), player.output_device);
    choose($("input"), player.input_device);
    mixer.update(player, state.selected);
    waveform.update(player);
    showHealth();
    showNotices();
    markSong();
  },
  queue({ songs }) {
    $("queue").replaceChildren(...songs.map(({ name, length_s }, number) => {
      const item = document.createElement("li");
      item.append(
        button(`${name}${length_s ? `  ${clock(length_s)}` : ""}`, `Play ${name}`, { command: "go_to_song", number }, "name"),
        button("Up", `Move ${name} up`, number ? { command: "move_song", number, to: number - 1 } : null),
        button("Remove", `Remove ${name}`, songs.length > 1 ? { command: "remove_song", number } : null),
      );
      return item;
    }));
    markSong();
  },
  devices({ outputs, inputs }) {
    for (const [id, names] of [["output", outputs], ["input", inputs]]) {
      $(id).replaceChildren(...names.map((name) => new Option(name, name)));
    }
  },
  error({ text }) { say(text); },
};

function say(text) {
  $("message").textContent = text;
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => { $("message").textContent = ""; }, MESSAGE_MS);
}

function clock(seconds) {
  if (seconds === null || seconds === undefined) return "?";
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${hours ? `${hours}:${String(minutes).padStart(2, "0")}` : minutes}:${String(rest).padStart(2, "0")}`;
}

function pair(term, text) {
  const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
  dt.textContent = term;
  dd.textContent = text;
  return [dt, dd];
}

function button(text, label, command, className = "") {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, className, disabled: command === null });
  made.setAttribute("aria-label", label);
  if (command) made.addEventListener("click", () => send(command));
  return made;
}

function setRange(range, value, text) {
  if (!range.matches(":active")) range.value = value;
  range.setAttribute("aria-valuetext", text);
}

function choose(select, name) {
  if (name !== null && document.activeElement !== select && select.value !== name) select.value = name;
}

function markSong() {
  [...$("queue").children].forEach((item, number) => item.setAttribute("aria-current", player?.track === number));
}

function showHealth() {
  const { latency, engine } = player, ms = (samples) => `${((1000 * samples) / 44100).toFixed(0)} ms`;
  const heard = listening?.latencyText;
  const rows = [
    ["latency", player.live
      ? `${ms(latency.algorithmic + latency.margin + latency.device)}: algorithmic ${ms(latency.algorithmic)}, margin ${ms(latency.margin)}, device ${ms(latency.device)}`
      : `of the faders ${ms(latency.device)}; live ${ms(latency.algorithmic)} algorithmic and ${ms(latency.margin)} margin`],
    ...(heard ? [["in this browser", heard]] : []),
    ["a hop takes", `${engine.compute_p50_ms.toFixed(1)} ms, 99 %: ${engine.compute_p99_ms.toFixed(1)} ms of 23.2 ms`],
    ["late", `${engine.late_hops + engine.skipped_hops} hops, ${player.late_blocks} blocks`],
    ["network", engine.network],
    ["limited", `${player.clipped_samples} samples`],
  ];
  fill($("health"), rows.map((row) => row.join("\n")).join("\n\n"), () => rows.flatMap(([term, text]) => pair(term, text)));
}

function showNotices() {
  const lines = [...player.messages, ...player.notices].slice(-6);
  fill($("notices"), lines.join("\n"), () => lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

// Replaces the children only when they change, so that a screen reader is not sent back to the start.
function fill(element, text, children) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...children());
}

function showLatency() { if (player) showHealth(); }

async function upload(files) {
  for (const file of files) {
    const line = document.createElement("li");
    line.textContent = `${file.name}: adding`;
    $("uploads").append(line);
    try {
      const answer = await fetch(`/upload?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
      const result = await answer.json();
      line.textContent = result.error ?? `${result.added}: added`;
      if (answer.ok) setTimeout(() => line.remove(), MESSAGE_MS);
    } catch {
      line.textContent = `${file.name}: not received; is rtsep ui still running?`;
    }
  }
}

const simple = {
  play: { command: "toggle_pause" }, previous: { command: "previous" }, next: { command: "next" },
  bypass: { command: "toggle_bypass" }, "all-on": { command: "all_on" }, "clear-loop": { command: "clear_loop" },
  preset: { command: "next_preset" }, tap: { command: "tap_tempo" }, metronome: { command: "toggle_metronome" },
};
for (const [id, command] of Object.entries(simple)) $(id).addEventListener("click", () => send(command));
$("position").addEventListener("change", () => send({ command: "seek", position_s: Number($("position").value) }));
$("volume").addEventListener("input", () => send({ command: "set_volume", volume_db: Number($("volume").value) }));
$("speed").addEventListener("input", () => send({ command: "set_speed", speed: Number($("speed").value) }));
$("key").addEventListener("input", () => send({ command: "set_key", key: Number($("key").value) }));
$("as-recorded").addEventListener("click", () => {
  send({ command: "set_speed", speed: 1 });
  send({ command: "set_key", key: 0 });
});
$("output").addEventListener("change", () => send({ command: "set_output", device: $("output").value }));
$("input").addEventListener("change", () => send({ command: "set_input", device: $("input").value }));
$("zoom").addEventListener("input", () => { waveform.zoom = Number($("zoom").value); });
$("files").addEventListener("change", () => { upload([...$("files").files]); $("files").value = ""; });
$("help-button").addEventListener("click", () => $("help").showModal());

document.addEventListener("keydown", (event) => {
  const command = readKey(event, keys);
  if (!command) return;
  event.preventDefault();
  if (command.command === "help") $("help").showModal();
  else send(command);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") upload([...event.dataTransfer.files]);
  });
}
