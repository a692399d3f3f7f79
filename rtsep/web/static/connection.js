// The WebSocket to the player, which comes back by itself.

const FIRST_RETRY_MS = 300, LONGEST_RETRY_MS = 5000;

export class Connection {
  #socket = null;
  #retryMs = FIRST_RETRY_MS;

  // `onMessage` gets each JSON message, `onBytes` each binary one, `onChange` whether there is a connection.
  constructor(path, { onMessage = () => {}, onBytes = () => {}, onChange = () => {} }) {
    this.path = path;
    this.handlers = { onMessage, onBytes, onChange };
    this.closed = false;
    this.#open();
  }

  send(command) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(command));
  }

  close() {
    this.closed = true;
    this.#socket?.close();
  }

  #open() {
    const socket = new WebSocket(`ws://${location.host}${this.path}`);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#retryMs = FIRST_RETRY_MS;
      this.handlers.onChange(true);
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.handlers.onMessage(JSON.parse(data));
      else this.handlers.onBytes(data);
    };
    socket.onclose = () => {
      this.handlers.onChange(false);
      if (this.closed) return;
      setTimeout(() => this.#open(), this.#retryMs);
      this.#retryMs = Math.min(LONGEST_RETRY_MS, 2 * this.#retryMs);
    };
  }
}
