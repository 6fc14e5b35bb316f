// A tensor's histogram and heat map, on canvases.

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function ramp(t) {
  const at = Math.min(0.9999, Math.max(0, t)) * (RAMP.length - 1);
  const i = Math.floor(at);
  return RAMP[i].map((low, k) => Math.round(low + (RAMP[i + 1][k] - low) * (at - i)));
}

function canvas(width, height, words) {
  const ratio = window.devicePixelRatio || 1;
  const made = element("canvas", { role: "img", "aria-label": words });
  made.width = width * ratio;
  made.height = height * ratio;
  made.style.width = width + "px";
  made.style.height = height + "px";
  const pen = made.getContext("2d");
  pen.scale(ratio, ratio);
  return [made, pen];
}

function histogram(tensor) {
  const series = [];
  if (tensor.before && tensor.before.hist) series.push({ hist: bytesOf(tensor.before.hist), range: tensor.before.range, old: true });
  if (tensor.hist) series.push({ hist: bytesOf(tensor.hist), range: tensor.range, old: false });
  if (!series.length) return null;
  const low = Math.min(...series.map((s) => s.range[0]));
  const high = Math.max(...series.map((s) => s.range[1]));
  const width = 300;
  const height = 120;
  const [made, pen] = canvas(width, height + 16, `Histogram from ${shortNumber(low)} to ${shortNumber(high)}`);
  const style = getComputedStyle(document.documentElement);
  const x = (value) => ((value - low) / (high - low || 1)) * width;
  // Bins may be of different width: heights are densities.
  const density = (s, n) => n / ((s.range[1] - s.range[0]) || 1) / s.hist.reduce((a, b) => a + b, 0);
  const top = Math.max(...series.map((s) => Math.max(...Array.from(s.hist, (n) => density(s, n)))));
  for (const s of series) {
    const step = (s.range[1] - s.range[0]) / s.hist.length;
    pen.fillStyle = pen.strokeStyle = style.getPropertyValue(s.old ? "--dim" : "--accent");
    pen.globalAlpha = s.old ? 0.45 : series.length > 1 ? 0.65 : 0.9;
    s.hist.forEach((n, i) => {
      if (!n) return;
      const left = x(s.range[0] + i * step);
      const tall = Math.max(1, (density(s, n) / top) * height);
      pen.fillRect(left, height - tall, Math.max(1, x(s.range[0] + (i + 1) * step) - left - 0.5), tall);
    });
  }
  pen.globalAlpha = 1;
  pen.fillStyle = style.getPropertyValue("--dim");
  pen.fillRect(0, height, width, 1);
  pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  pen.fillText(shortNumber(low), 0, height + 13);
  pen.textAlign = "right";
  pen.fillText(shortNumber(high), width, height + 13);
  if (low < 0 && high > 0 && x(0) > 50 && x(0) < width - 50) {
    pen.textAlign = "center";
    pen.fillText("0", x(0), height + 13);
    pen.fillRect(x(0), height, 1, 4);
  }
  const caption = series.length > 1 ? "values: before (grey) and after" : "values";
  return element("figure", {}, made, element("figcaption", {}, caption));
}

function heatMap(tensor, heat, caption) {
  if (!heat) return null;
  const [columns, rows] = heat.size;
  const cell = Math.max(2, Math.min(12, Math.floor(rows === 1 ? 300 / columns : Math.min(300 / columns, 132 / rows))));
  const width = columns * cell;
  const height = Math.max(rows * cell, rows === 1 ? 18 : 0);
  const [made, pen] = canvas(width, height, `${caption}, up to ${shortNumber(heat.max)}`);
  const data = bytesOf(heat.data);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      pen.fillStyle = `rgb(${ramp(data[i * columns + j] / 255).join(" ")})`;
      pen.fillRect(j * cell, i * cell, cell, rows === 1 ? height : cell);
    }
  }
  const [legend, brush] = canvas(80, 8, "");
  for (let i = 0; i < 80; i++) {
    brush.fillStyle = `rgb(${ramp(i / 79).join(" ")})`;
    brush.fillRect(i, 0, 1, 8);
  }
  legend.setAttribute("aria-hidden", "true");
  const words = element("figcaption", {}, caption, element("br"), "0 ", legend, " " + shortNumber(heat.max));
  return element("figure", {}, made, words);
}
