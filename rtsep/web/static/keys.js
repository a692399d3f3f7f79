// Keys of the page: the same table as in the terminal.

const NAMES = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Backspace: "backspace" };
const SHIFTED = "!@#$%^&*";
const NOT_HERE = new Set(["quit", "select_next"]);  // a page must not end the player by a slip; TAB moves the focus

// The command of a key press; undefined where the focused element needs the key itself.
export function readKey(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return undefined;
  const focused = event.target;
  if (focused.matches?.("select, input[type=text]")) return undefined;
  const isArrow = event.key.startsWith("Arrow");
  if (isArrow && focused.matches?.("input[type=range]")) return undefined;
  if ([" ", "Enter"].includes(event.key) && focused.matches?.("button, input[type=file], a")) return undefined;
  // By the key's place, since SHIFT+1 types something else on each layout.
  const digit = event.shiftKey ? /^Digit([1-8])$/.exec(event.code) : null;
  const command = keys.get(digit ? SHIFTED[digit[1] - 1] : (NAMES[event.key] ?? event.key));
  return command && NOT_HERE.has(command.command) ? undefined : command;
}
