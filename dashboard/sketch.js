// A chart of lines as it is seen until plotly.js has been read and has its turn: on a canvas, in some milliseconds.
// The page's charts have this file and chart.js as one module; a report, whose plotly.js is there, needs no sketches.
//
// Curves, bands, axes and names stand where plotly.js will draw them, to a pixel or two: what is written here of ranges, ticks
// and margins is its way to find them, for one pair of linear axes in the style of figures/style.py. Other charts have no sketch.

const LETTER = 13 // pixels: the size of letters beside axes
const TICK = 4
const BELOW = 49 // for an axis' ticks, numbers and title below the plot
const BESIDE = 32.3 // the same left of it, but for its numbers
const ITEM = { least: 16, around: 13, line: [5, 35], name: 40 } // of the legend: its height, and what lies where

// Draws `chart` on a canvas in `node`, where it is one of lines.
function sketch(node, chart) {
  const { data: traces, layout } = figureOf({ chart })
  const theme = themeOf(node)
  const style = themed(layout.template ?? {}, theme).layout
  const [xaxis, yaxis] = ["xaxis", "yaxis"].map(name => ({ ...style[name], ...layout[name] }))
  const more = Object.keys(layout).some(name => /^([xy]axis\d|shapes|annotations|images)/.test(name))
  if (!traces.length || more || !traces.every(isLine) || !isPlain(xaxis) || !isPlain(yaxis)) return
  const width = node.clientWidth
  const heading = fitted({ ...layout, template: { layout: style } }, width, theme["font"])
  const { items, height } = legend(traces, width, theme["font"])
  const below = BELOW + height
  const room = chart.height - heading.top - below
  const higher = isLow(chart, room) ? lackingIn(chart, room) : 0
  const [top, bottom] = [heading.top, heading.top + room + higher]
  const { canvas, pen } = paper(width, chart.height + higher)
  const write = (text = "", x, y, size, { align = "left", colour = theme["text-color"] } = {}) => {
    Object.assign(pen, { font: `${size}px ${theme["font"]}`, textAlign: align, textBaseline: "middle", fillStyle: colour })
    pen.fillText(unescaped(text), x, y + 1)
  }

  writeHeading(write, heading, style.title)
  writeNames(pen, write, items, bottom + BELOW)
  const place = drawAxes(
    pen,
    write,
    traces,
    { xaxis, yaxis },
    { top, bottom, end: width - style.margin.r, width, font: theme["font"] }
  )
  drawCurves(pen, write, traces, place)
  canvas.dataset.higher = higher
  if (higher) heighten(node, chart.height + higher)
  else node.style.height = chart.height + "px"
  node.replaceChildren(canvas)
}

function isLine({ type, mode, x, error_y, marker }) {
  return type === "scatter" && mode?.startsWith("lines") && !error_y && !marker && x && typeof x[0] !== "string"
}

// An axis whose range and ticks are found as below.
function isPlain({ type = "linear", visible = true, range, tickformat }) {
  return type === "linear" && visible && !range && (!tickformat || tickformat === ".4~p")
}

// -- On paper ------------------------------------------------------------------------------

function paper(width, height) {
  const canvas = document.createElement("canvas")
  const fine = window.devicePixelRatio || 1
  Object.assign(canvas, { className: "chart-sketch", width: width * fine, height: height * fine })
  Object.assign(canvas.style, { width: width + "px", height: height + "px" })
  canvas.setAttribute("aria-hidden", "true") // what it shows, the chart says
  const pen = canvas.getContext("2d")
  pen.scale(fine, fine)
  return { canvas, pen }
}

function writeHeading(write, { title, subtitle, tools }, { font, subtitle: { font: small } }) {
  const [titles, subtitles] = [title, subtitle].map(text => text.split("<br>"))
  titles.forEach((line, k) => write(line, 0, tools + 12 + 1.3 * font.size * k, font.size))
  const first = tools + 43 + 1.3 * font.size * (titles.length - 1) - (subtitles.length > 1 ? 0.7 * small.size : 0)
  subtitles.forEach((line, k) => write(line, 0, first + 1.3 * small.size * k, small.size, { colour: small.color }))
}

// The names below the chart, in rows as wide as it is: where each begins, and what all take.
function legend(traces, width, font) {
  const named = traces.filter(trace => trace.name && trace.showlegend !== false)
  let [x, y, bottom] = [0, 0, 0]
  const items = legendOf(named, width, font).map((name, k) => {
    const lines = name.split("<br>").map(unescaped)
    const taken = LEGEND.beside + Math.max(...lines.map(line => pencil.measureText(line).width))
    const height = ITEM.around + Math.max(ITEM.least, 1.3 * LEGEND.letter * lines.length)
    if (x && x + taken > width) [x, y] = [0, bottom]
    bottom = Math.max(bottom, y + height)
    x += taken
    return { trace: named[k], lines, x: x - taken, middle: y + height / 2 }
  })
  return { items, height: Math.ceil(bottom) }
}

function writeNames(pen, write, items, top) {
  for (const { trace, lines, x, middle } of items) {
    const y = top + middle
    stroke(pen, trace, () => ITEM.line.forEach((at, k) => pen[k ? "lineTo" : "moveTo"](x + at, y)))
    lines.forEach((line, k) => write(line, x + ITEM.name, y + 1.3 * LEGEND.letter * (k - (lines.length - 1) / 2), LEGEND.letter))
  }
}

// Both axes, and where they leave the plot: its edges, and where in it a value of x or y lies.
function drawAxes(pen, write, traces, { xaxis, yaxis }, { top, bottom, end, width, font }) {
  const [xs, ys] = [rangeOf(traces, "x", xaxis), rangeOf(traces, "y", yaxis)]
  pen.font = `${LETTER}px ${font}`
  const widthOf = tick => pen.measureText(tick.text).width
  const yticks = ticksOf(ys, yaxis, (bottom - top) / 40)
  const left = Math.ceil(Math.max(0, ...yticks.map(widthOf)) + BESIDE)
  const xticks = ticksOf(xs, xaxis, (end - left) / 80)
  const last = xticks.at(-1)
  const right = last?.at === xs[1] ? Math.min(end, Math.floor(width - widthOf(last) / 2 - 8)) : end // half of it is beyond the axis
  const x = value => left + ((value - xs[0]) / (xs[1] - xs[0])) * (right - left)
  const y = value => bottom - ((value - ys[0]) / (ys[1] - ys[0])) * (bottom - top)

  for (const { at, text } of yticks) {
    rule(pen, yaxis.gridcolor, [left, y(at)], [right, y(at)])
    rule(pen, yaxis.tickcolor, [left - TICK, y(at)], [left, y(at)])
    write(text, left - TICK - 3, y(at), LETTER, { align: "right" })
  }
  for (const { at, text } of xticks) {
    rule(pen, xaxis.tickcolor, [x(at), bottom], [x(at), bottom + TICK])
    write(text, x(at), bottom + 17, LETTER, { align: "center" })
  }
  rule(pen, xaxis.linecolor, [left, top], [left, bottom], [right, bottom])
  write(xaxis.title.text, (left + right) / 2, bottom + 36, LETTER, { align: "center" })
  pen.save()
  pen.translate(8, (top + bottom) / 2)
  pen.rotate(-Math.PI / 2)
  write(yaxis.title.text, 0, 0, LETTER, { align: "center" })
  pen.restore()
  return { left, right, top, bottom, x, y }
}

function drawCurves(pen, write, traces, { left, right, top, bottom, x, y }) {
  pen.save()
  pen.beginPath()
  pen.rect(left, top, right - left, bottom - top)
  pen.clip()
  for (const trace of traces) drawTrace(pen, trace, x, y)
  pen.restore()
  for (const trace of traces.filter(trace => trace.text))
    for (const [k, line] of trace.text.at(-1).split("<br>").reverse().entries())
      write(line, x(trace.x.at(-1)), y(trace.y.at(-1)) - 7 - 1.3 * LETTER * k, LETTER, { align: "right" })
}

function rule(pen, colour, ...points) {
  Object.assign(pen, { strokeStyle: colour, lineWidth: 1 })
  pen.beginPath()
  points.forEach(([x, y], k) => pen[k ? "lineTo" : "moveTo"](Math.round(x) + 0.5, Math.round(y) + 0.5))
  pen.stroke()
}

function stroke(pen, { line, opacity = 1 }, path) {
  pen.save()
  Object.assign(pen, { strokeStyle: line.color, lineWidth: line.width ?? 2, globalAlpha: opacity, lineJoin: "round" })
  pen.setLineDash((line.dash ?? "solid") === "solid" ? [] : line.dash.split(",").map(parseFloat))
  pen.beginPath()
  path()
  pen.stroke()
  pen.restore()
}

// A trace's line, with its gaps, or its band; and dots, where a value is the only one.
function drawTrace(pen, trace, x, y) {
  const path = () => {
    let drawing = false
    for (let i = 0; i < trace.x.length; i++) {
      const there = Number.isFinite(trace.x[i]) && Number.isFinite(trace.y[i])
      if (there) pen[drawing ? "lineTo" : "moveTo"](x(trace.x[i]), y(trace.y[i]))
      drawing = there
    }
  }
  pen.fillStyle = trace.fillcolor ?? trace.line.color
  if (trace.fill) {
    pen.beginPath()
    path()
    pen.fill()
  } else stroke(pen, trace, path)
  if (trace.mode.includes("markers"))
    for (let i = 0; i < trace.x.length; i++) {
      pen.beginPath()
      pen.arc(x(trace.x[i]), y(trace.y[i]), 3, 0, 2 * Math.PI)
      pen.fill()
    }
}

// -- As plotly.js finds them ---------------------------------------------------------------

// A range: what the traces have, with a twentieth of the axis free at both ends; not at a zero that the axis keeps to, nor along
// x where there are lines alone.
function rangeOf(traces, name, { rangemode = "normal", minallowed = -Infinity, maxallowed = Infinity }) {
  let [low, high] = [Infinity, -Infinity]
  for (const trace of traces)
    for (const value of trace[name])
      if (value !== null && value < Infinity) [low, high] = [Math.min(low, value), Math.max(high, value)]
  if (low > high) [low, high] = [0, 1]
  const [keeps, positive] = [rangemode === "tozero", rangemode === "nonnegative"]
  const allowed = (from, to) => [Math.max(from, minallowed), Math.min(to, maxallowed)]
  if (keeps) [low, high] = [Math.min(low, 0), Math.max(high, 0)]
  if (low === high) return allowed(keeps || positive ? Math.max(0, low - 1) : low - 1, high + 1)
  const free = name === "y" || traces.some(trace => trace.mode !== "lines") ? 0.05 : 0
  const above = keeps && high === 0 ? 0 : free
  let below = keeps && low === 0 ? 0 : free
  let whole = (high - low) / (1 - below - above)
  if (positive && low < below * whole) [low, below, whole] = [0, 0, high / (1 - above)]
  return allowed(low - below * whole, high + above * whole)
}

const PREFIXES = { "-9": "n", "-6": "μ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "B", 12: "T" }

// Ticks, `room` of them or fewer, by 1, 2 or 5 times a power of ten, and their numbers.
function ticksOf([low, high], { dtick, tickformat, exponentformat }, room) {
  const rough = (high - low) / (Math.min(9, Math.max(4, room)) + 1)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = dtick ?? power * [2, 5, 10].find(times => times >= rough / power)
  const exponent = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))))
  const short = Math.abs(exponent) > 3 && exponentformat !== "none"
  const thousands = short ? 3 * Math.floor(exponent / 3) : 0
  const written = value => {
    if (tickformat) return Number((100 * value).toPrecision(4)) + "%"
    const number = String(Number((value / 10 ** thousands).toPrecision(6))).replace("-", "−")
    return value === 0 ? "0" : number + (PREFIXES[thousands] ?? "e" + thousands)
  }
  const ticks = []
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    const at = Number((k * step).toPrecision(12))
    ticks.push({ at, text: written(at) })
  }
  return ticks
}
