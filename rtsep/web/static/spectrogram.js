// Scrolling spectrograms: the newest column is on the right.

const HEADER_BYTES = 16;

// Dark blue over violet and orange to light yellow; one colour for each byte of a level.
const COLOURS = Uint8ClampedArray.from({ length: 256 * 4 }, (_, index) => {
  const level = (index >> 2) / 255;
  const red = 255 * Math.min(1, Math.max(0, 2.2 * level - 0.3));
  const green = 255 * Math.min(1, Math.max(0, 2.4 * level - 1.1));
  const blue = 255 * (level < 0.45 ? 1.4 * level : Math.max(0.15, 1.1 - 1.2 * level) + Math.max(0, 2.4 * level - 1.75));
  return [red, green, blue, 255][index & 3];
});

export function drawSpectra(buffer, canvases) {
  const view = new DataView(buffer);
  const sources = view.getUint16(8, true), bands = view.getUint16(10, true), columns = view.getUint32(12, true);
  const levels = new Uint8Array(buffer, HEADER_BYTES);
  for (let source = 0; source < Math.min(sources, canvases.length); source++) {
    const canvas = canvases[source];
    const context = canvas.getContext("2d", { alpha: false });
    context.drawImage(canvas, -columns, 0);
    const image = context.createImageData(columns, bands);
    for (let column = 0; column < columns; column++) {
      const first = (column * sources + source) * bands;
      for (let band = 0; band < bands; band++) {
        const colour = 4 * levels[first + band];
        const pixel = 4 * ((bands - 1 - band) * columns + column);
        image.data.set(COLOURS.subarray(colour, colour + 4), pixel);
      }
    }
    context.putImageData(image, canvas.width - columns, 0);
  }
}
