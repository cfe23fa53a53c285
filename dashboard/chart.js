// One chart: themes a plotly figure, draws it, shows the image of the point under the pointer, and says what is picked.
//
// The page's component (plot.py, mount.js) calls the default export. Any other page, such as the report, needs nothing of
// Streamlit: put narrow.js and this file into a <script type="module"> and chart.css into a <style>, have plotly.js loaded
// (window.Plotly) and the --st-* variables of `COLOURS` defined (on :root, say), and call, for each empty <div class="chart">,
//
//   draw(div, { figure: "<the figure's JSON>", alt: "...", height: 360, least: 1 / 2, name: "file name", csv: "..." or null },
//        { Plotly: window.Plotly, thumbnail: ({ dataset, of }, index) => address of the image (a data: URI will do) or null })
//
// and again whenever the theme changes. `undraw(div)` frees what it holds. Charts in sight are drawn first, others when
// nothing else is to be done.

// -- Figures -------------------------------------------------------------------------------

// Whole figures as text, by their addresses, while they are on their way or drawn. (Their server may have forgotten one by then.)
const fetched = new Map()

function figureAt(address) {
  if (!fetched.has(address)) {
    const coming = fetch(address)
      .then(answer => (answer.ok ? answer.text() : Promise.reject()))
      .catch(() => {
        fetched.delete(address)
        const again = "it is tried again with the next change, or when the page is loaded again."
        throw new Error("The chart could not be fetched from the dashboard; " + again)
      })
    fetched.set(address, coming)
    if (fetched.size > 60) fetched.delete(fetched.keys().next().value)
  }
  return fetched.get(address)
}

const NUMBERS = {
  i1: Int8Array,
  u1: Uint8Array,
  i2: Int16Array,
  u2: Uint16Array,
  i4: Int32Array,
  u4: Uint32Array,
  f4: Float32Array,
  f8: Float64Array,
}

// An array as plotly's Python side writes it: {dtype, bdata, shape}; rows of a matrix are arrays of their own.
function decoded(value) {
  const kind = value?.bdata !== undefined && NUMBERS[value.dtype]
  if (!kind) return value
  // The former where browsers have it.
  const bytes = Uint8Array.fromBase64?.(value.bdata) ?? Uint8Array.from(atob(value.bdata), letter => letter.charCodeAt(0))
  const all = new kind(bytes.buffer)
  if (!value.shape) return all
  const [rows, columns, deeper] = String(value.shape).split(",").map(Number)
  if (deeper !== undefined) return value
  return Array.from({ length: rows }, (_, row) => all.subarray(row * columns, (row + 1) * columns))
}

// A figure with its arrays decoded once, so that what does not change stays the same array, which plotly.js takes as it is.
function parsed(text) {
  const figure = JSON.parse(text)
  for (const trace of figure.data) for (const name in trace) trace[name] = decoded(trace[name])
  return figure
}

function changed(own, change) {
  const all = { ...own }
  for (const [name, value] of Object.entries(change ?? {})) {
    if (value === null) delete all[name]
    else all[name] = value.put ? spliced(own[name], value) : decoded(value)
  }
  return all
}

function spliced(array, { at, drop, put }) {
  const between = decoded(put)
  if (Array.isArray(array)) return [...array.slice(0, at), ...between, ...array.slice(at + drop)]
  const all = new array.constructor(array.length - drop + between.length)
  all.set(array.subarray(0, at))
  all.set(between, at)
  all.set(array.subarray(at + drop), at + between.length)
  return all
}

// The figure that a chart shows. What plotly.js does to it, it does to a copy: a zoom that were written into the figure would
// be taken for the figure's own, and be lost with it.
function figureOf(state) {
  const { figure: text, change } = state.chart
  if (state.parsed?.text !== text) state.parsed = { text, figure: parsed(text) }
  const { data, layout } = state.parsed.figure
  const difference = change ? JSON.parse(change) : {}
  return {
    data: data.map((trace, k) => changed(trace, difference.data?.[k])),
    layout: changed(structuredClone(layout), difference.layout),
  }
}

// -- Whose turn it is ------------------------------------------------------------------------

const MARGIN = 200 // pixels beyond the window that count as in sight
const urgent = new Set() // charts in sight that are not drawn yet
const awaited = new Set() // charts whose figure is on its way: all sketches come before any chart's turn

function inSight(node) {
  const { top, bottom } = node.getBoundingClientRect()
  return bottom > -MARGIN && top < window.innerHeight + MARGIN
}

const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))

// Resolves when what has been drawn is on the screen. A hidden page has none.
const shown = () => (document.hidden ? Promise.resolve() : new Promise(requestAnimationFrame)).then(() => pause(0))

// Resolves to whether the browser has nothing else to do; after a tenth of a second at the latest.
function isIdle() {
  if (!window.requestIdleCallback) return pause(50).then(() => true)
  return new Promise(resolve => requestIdleCallback(deadline => resolve(!deadline.didTimeout), { timeout: 100 }))
}

const PATIENCE = 2000 // milliseconds: where a machine is never idle, or a figure does not come, charts are drawn all the same

// Each chart in a task of its own: once all sketches are seen where it is in sight, else when it comes there or there is nothing
// else to do.
async function dueTurn(state, turn) {
  const end = performance.now() + PATIENCE
  while (turn === state.turn && state.node.isConnected) {
    const late = performance.now() > end
    const due = inSight(state.node) ? (await shown(), !awaited.size || late) : ((await isIdle()) && !urgent.size) || late
    if (due && !state.plot._dragging) return // the reader is zooming or lassoing otherwise
    await pause(50)
  }
}

// -- Theme ---------------------------------------------------------------------------------

const COLOURS = [
  "text-color",
  "gray-text-color",
  "background-color",
  "secondary-background-color",
  "border-color",
  "border-color-light",
  "primary-color",
  "font",
]

function themeOf(node) {
  const style = getComputedStyle(node)
  return Object.fromEntries(COLOURS.map(name => [name, style.getPropertyValue("--st-" + name).trim()]))
}

// A template with the parts that follow the reader's theme.
function themed(template, theme) {
  const axis = { gridcolor: theme["border-color-light"], linecolor: theme["border-color"], zerolinecolor: theme["border-color"] }
  const layout = template.layout ?? {}
  return {
    ...template,
    layout: {
      ...layout,
      title: { ...layout.title, subtitle: { font: { ...layout.title?.subtitle?.font, color: theme["gray-text-color"] } } },
      font: { ...layout.font, color: theme["text-color"], family: theme["font"] },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
      hoverlabel: {
        ...layout.hoverlabel,
        bgcolor: theme["secondary-background-color"],
        bordercolor: theme["border-color"],
        font: { color: theme["text-color"] },
      },
      annotationdefaults: { bgcolor: theme["background-color"] + "cc" }, // a chip of the page's colour, legible over any points
      modebar: { bgcolor: "rgba(0,0,0,0)", color: theme["gray-text-color"], activecolor: theme["primary-color"] },
      newselection: { line: { color: theme["primary-color"], dash: "solid", width: 1.5 } },
    },
  }
}

// -- Images --------------------------------------------------------------------------------

// The data set index of a point (column 0 of customdata); null where the point is no image.
function indexOf(point) {
  if (!point.data.meta?.dataset) return null
  const own = point.customdata
  return own == null ? null : Number(typeof own === "object" ? own[0] : own)
}

// The image of the first hovered point below its label, or wherever else there is room.
function showThumbnail(state, event) {
  const point = event.points.find(point => indexOf(point) !== null)
  const address = point && state.thumbnail?.(point.data.meta, indexOf(point))
  if (!address) return hideThumbnail(state)
  const image = new Image() // a new one each time: the last image must never stand beside this point
  image.alt = `image ${indexOf(point)}`
  image.onload = () => image.classList.toggle("chart-enlarged", image.naturalWidth < image.width)
  image.onerror = () => {
    image.hidden = true
  }
  image.src = address
  const { box } = state
  box.querySelector("img")?.removeAttribute("src") // no longer wanted
  box.replaceChildren(image, image.alt)
  box.hidden = false
  const frame = state.node.getBoundingClientRect()
  const label = state.plot.querySelector(".hovertext")?.getBoundingClientRect() ?? {
    left: event.event.clientX,
    right: event.event.clientX,
    top: event.event.clientY,
    bottom: event.event.clientY,
  }
  const { offsetWidth: width, offsetHeight: height } = box
  const gap = 6
  const places = [
    [label.left, label.bottom + gap],
    [label.left, label.top - gap - height],
    [label.right + gap, label.top],
    [label.left - gap - width, label.top],
  ]
  const inside = (at, size, from, to) => Math.max(from, Math.min(at, to - size))
  const seen = places.map(([x, y]) => [inside(x, width, frame.left, frame.right), inside(y, height, frame.top, frame.bottom)])
  const covers = ([x, y]) => x < label.right && x + width > label.left && y < label.bottom && y + height > label.top
  const [x, y] = seen.find(place => !covers(place)) ?? seen[0]
  box.style.transform = `translate(${x - frame.left}px, ${y - frame.top}px)`
}

function hideThumbnail(state) {
  state.box.hidden = true
}

// -- Downloads -----------------------------------------------------------------------------

const ICONS = {
  svg: { width: 24, height: 24, path: "M2 16h6v6H2zM16 2h6v6h-6zM4 14C4 8 8 4 14 4v2C9 6 6 9 6 14z" },
  csv: { width: 24, height: 24, path: "M2 3h20v5H2zM2 10h6v5H2zM10 10h12v5H10zM2 17h6v5H2zM10 17h12v5H10z" },
}

// The picture as it is seen, zoom and all, on the theme's background.
function saveImage(state, format) {
  const { data, layout, clientWidth: width, clientHeight: height } = state.plot
  const figure = {
    data,
    layout: {
      ...layout,
      paper_bgcolor: themeOf(state.node)["background-color"],
      title: { ...layout.title, pad: { t: 10, l: 10 } },
    },
  }
  return state.Plotly.downloadImage(figure, {
    format,
    filename: state.chart.name,
    width,
    height,
    scale: format === "png" ? 2 : 1,
  })
}

function saveTable(state) {
  const link = document.createElement("a")
  const table = state.chart.csv ?? tableOf(state.plot, state.series)
  link.href = URL.createObjectURL(new Blob(["\ufeff", table], { type: "text/csv;charset=utf-8" })) // by the mark Excel knows UTF-8
  link.download = state.chart.name + ".csv"
  link.click()
  URL.revokeObjectURL(link.href)
}

// What the traces show, as CSV: a row a point (or a cell), with the columns that any trace has. Areas around other traces are
// left out. Columns are called after the axes' titles, or as a trace's `meta` calls its x, y and z; `meta.columns` names those of
// its customdata; `series`: of the traces' names.
function tableOf(plot, series) {
  const rows = []
  plot._fullData.forEach((trace, k) => {
    if (trace.fill === "toself") return
    const start = { series: unescaped(series[k] ?? trace.legendgroup ?? "") }
    const parts = trace.meta?.series?.map(unescaped) // of a trace with gaps
    const [x, y, z] = ["x", "y", "z"].map(letter => trace.meta?.[letter] ?? titleOf(plot, trace, letter) ?? letter)
    const add = (atX, atY, more) => {
      if (![atX, atY].some(value => value == null || Number.isNaN(value)))
        rows.push({ ...start, [x]: named(axisOf(plot, trace, "x"), atX), [y]: named(axisOf(plot, trace, "y"), atY), ...more })
    }
    const custom = (i, j) =>
      Object.fromEntries(
        customOf(trace, i, j).map((value, n) => [
          n === 0 && trace.meta?.dataset ? "index" : (trace.meta?.columns?.[n] ?? `data ${n + 1}`),
          value,
        ])
      )
    if (trace.z)
      trace.z.forEach((line, j) => line.forEach((at, i) => add(trace.x?.[i] ?? i, trace.y?.[j] ?? j, { [z]: at, ...custom(j, i) })))
    else
      for (let i = 0; i < trace._length; i++) {
        if (parts) start.series = Number.isNaN(trace.x[i]) ? parts.shift() : parts[0]
        add(trace.x ? trace.x[i] : i, trace.y ? trace.y[i] : i, { text: textOf(trace, i), ...custom(i) })
      }
  })
  const columns = [...new Set(rows.flatMap(Object.keys))].filter(column => rows.some(row => row[column] !== undefined))
  // A text that a spreadsheet would take for a formula, but is no number, begins with an apostrophe; as in plot.py.
  const tame = value => (typeof value === "string" && /^([=@\t\r]|[+-](?![\d.]+$))(?!$)/.test(value) ? `'${value}` : value)
  const quoted = value => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : (value ?? ""))
  const cell = value => quoted(tame(value))
  return [columns, ...rows.map(row => columns.map(column => row[column]))].map(row => row.map(cell).join(",") + "\n").join("")
}

function axisOf(plot, trace, letter) {
  return plot.layout[(trace[letter + "axis"] ?? letter).replace(letter, letter + "axis")]
}

// What the axis of a trace is called, as it reads.
function titleOf(plot, trace, letter) {
  const title = axisOf(plot, trace, letter)?.title?.text
  return title ? unescaped(title) : undefined
}

// Where a point lies on an axis: on one of names, in places 0, 1, 2, ..., the name that it is at or stands a little aside of.
function named(axis, at) {
  const places = Array.from(axis?.ticktext ?? [], (_, k) => k)
  return places.length && places.every(k => axis.tickvals[k] === k)
    ? unescaped(axis.ticktext[Math.min(Math.max(Math.round(at), 0), places.length - 1)])
    : at
}

function customOf(trace, i, j) {
  const own = j === undefined ? trace.customdata?.[i] : trace.customdata?.[i]?.[j]
  const several = own == null ? [] : typeof own === "object" ? [...own] : [own]
  return several.map(value => (typeof value === "string" ? unescaped(value) : value))
}

function textOf(trace, i) {
  return Array.isArray(trace.text) ? unescaped(trace.text[i]) : undefined
}

const escaped = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

// Text of a figure as it reads: in one line, without tags and entities.
function unescaped(text) {
  return /[<&]/.test(text) ? new DOMParser().parseFromString(text.replaceAll("<br>", " "), "text/html").body.textContent : text
}

// -- Picking -------------------------------------------------------------------------------

// Tells what the reader has picked, and when.
function tell(state, picked) {
  if (!state.pick) return
  state.picked = { ...state.picked, ...picked }
  state.pick({ ...state.picked, moment: Date.now() })
}

// Data set indices of the points that the figure shows as selected.
function selectedIn(plot) {
  const images = plot._fullData.filter(trace => trace.meta?.dataset && trace.selectedpoints)
  const indices = images.flatMap(trace => trace.selectedpoints.map(i => Number(customOf(trace, i)[0])))
  return [...new Set(indices)].sort((a, b) => a - b)
}

function listen(state) {
  const { plot } = state
  plot.on("plotly_hover", event => showThumbnail(state, event))
  plot.on("plotly_unhover", () => hideThumbnail(state))
  plot.on("plotly_click", event => {
    showThumbnail(state, event) // a tap hovers over nothing
    if (state.cleared) return
    const index = event.points.map(indexOf).find(index => index !== null)
    if (index !== undefined) tell(state, { clicked: index })
  })
  plot.on("plotly_selecting", () => {
    state.looping = true
  })
  plot.on("plotly_selected", event => {
    if (!event || !state.looping) return // a click; or plotly's own, as it draws
    state.looping = false
    state.wanted = null // what is lit is the reader's own doing until the page answers, perhaps with the same figure
    const all = event.points.map(indexOf).filter(index => index !== null)
    const indices = [...new Set(all)].sort((a, b) => a - b)
    if (String(indices) !== String(state.picked.indices)) tell(state, { indices })
    else redraw(state) // a lasso around nothing leaves every point faint
  })
  plot.on("plotly_webglcontextlost", () => {
    if (state.svg || states.get(state.node) !== state) return
    state.svg = true
    redraw(state)
  })
  // A double click. Where it hits a point plotly.js tells of another click next, in the same task.
  plot.on("plotly_deselect", () => {
    state.cleared = true
    setTimeout(() => (state.cleared = false))
    state.wanted = null
    tell(state, { indices: [], clicked: null })
  })
}

// -- WebGL ---------------------------------------------------------------------------------

// Some browsers have none, and all take it away from the oldest charts when there are many: those are drawn as SVG.
let webgl

function hasWebGL() {
  if (webgl === undefined) {
    const context = document.createElement("canvas").getContext("webgl")
    context?.getExtension("WEBGL_lose_context")?.loseContext()
    webgl = context !== null
  }
  return webgl
}

function asSVG(trace) {
  return trace.type === "scattergl" ? { ...trace, type: "scatter" } : trace
}

// -- Drawing -------------------------------------------------------------------------------

const states = new WeakMap() // .chart node -> what is drawn in it, and how

// Fixed for the life of a node: plotly would build the chart anew, and lose the zoom, if a function in it changed.
function configOf(state, select) {
  const downloads = [
    { name: "png", title: "Download as PNG", icon: state.Plotly.Icons.camera, click: () => saveImage(state, "png") },
    { name: "svg", title: "Download as SVG", icon: ICONS.svg, click: () => saveImage(state, "svg") },
    { name: "csv", title: "Download the data as CSV", icon: ICONS.csv, click: () => saveTable(state) },
  ]
  const buttons = [downloads, [...(select ? ["lasso2d", "select2d"] : []), "zoom2d", "pan2d"], ["autoScale2d", "resetScale2d"]]
  return {
    displaylogo: false,
    doubleClickDelay: 500,
    plotGlPixelRatio: Math.max(1, window.devicePixelRatio),
    modeBarButtons: buttons,
  }
}

function begin(node, Plotly, select) {
  const [plot, box] = [document.createElement("div"), document.createElement("div")]
  box.className = "chart-thumbnail"
  box.hidden = true
  node.setAttribute("role", "figure")
  const sketched = [...node.querySelectorAll(".chart-sketch")]
  node.replaceChildren(plot, box, ...sketched)
  const higher = Number(sketched[0]?.dataset.higher ?? 0)
  const state = { node, plot, box, Plotly, turn: 0, higher, svg: !hasWebGL(), picked: { indices: [], clicked: null } }
  state.config = configOf(state, select)
  states.set(node, state)
  return state
}

// Draws `chart` in `node`, or changes what is drawn there. Nothing is done where nothing has changed.
// `pick({indices, clicked, moment})`, if given, is told the data set indices that are selected and the one clicked last.
export async function draw(node, chart, { Plotly, thumbnail, pick }) {
  // Now it needs the whole of plotly.js, or a part will do.
  if (states.has(node) && states.get(node).Plotly !== Plotly) undraw(node)
  const state = states.get(node) ?? begin(node, Plotly, Boolean(pick))
  Object.assign(state, { chart, thumbnail, pick })
  node.setAttribute("aria-label", chart.alt)
  node.style.height = chart.height + state.higher + "px"
  const theme = themeOf(node)
  const wanted = [chart.figure, chart.change, chart.height, JSON.stringify(theme)]
  if (state.wanted?.every((part, k) => part === wanted[k])) return
  state.wanted = wanted
  const turn = ++state.turn
  await dueTurn(state, turn)
  if (turn !== state.turn || states.get(node) !== state || !node.isConnected) return
  const figure = figureOf(state)
  const layout = {
    ...figure.layout,
    template: themed(figure.layout.template ?? {}, theme),
    autosize: true,
    width: undefined,
    height: chart.height + state.higher,
  }
  let width = node.clientWidth // for which it is drawn: it may change before anybody observes it
  state.fit = () => {
    const [own, width, family] = [{ ...figure.layout, template: layout.template }, node.clientWidth, theme["font"]]
    const [names, called] = [namesOf(own, width, family), legendOf(figure.data, width, family)]
    return { ...fitted(own, width, family), names, called }
  }
  state.series = figure.data.map(trace => trace.name) // in a line each
  const { title, subtitle, top, pad, names: beside, called } = state.fit()
  layout.title = {
    ...layout.title,
    text: title,
    pad: { ...layout.template.layout.title.pad, t: pad },
    subtitle: { ...layout.title?.subtitle, text: subtitle },
  }
  layout.margin = { ...layout.margin, t: top }
  for (const axis in beside) layout[axis] = { ...layout[axis], ticktext: beside[axis] }
  // What is selected is what the figure says.
  if (pick) Object.assign(layout, { dragmode: "lasso", selections: [], selectionrevision: turn })
  hideThumbnail(state)
  const names = state.observer ? [] : (layout.annotations ?? []) // a first painting is split in two: other tasks come between
  await Plotly.react(
    state.plot,
    figure.data.map((trace, k) => ({ ...(state.svg ? asSVG(trace) : trace), name: called[k] })),
    names.length ? { ...layout, annotations: [] } : layout,
    state.config
  )
  node.querySelector(".chart-sketch")?.remove()
  if (names.length) {
    await pause(0)
    if (states.get(node) !== state) return
    await Plotly.relayout(state.plot, { annotations: names })
  }
  await grow(state)
  urgent.delete(node)
  state.picked.indices = selectedIn(state.plot)
  if (state.observer) return
  listen(state)
  state.observer = new ResizeObserver(() => {
    if (node.clientWidth && node.clientWidth !== width) resize(state)
    width = node.clientWidth
  })
  state.observer.observe(node)
}

// Where a long legend leaves a chart of one pair of axes less than `least` of its height, as on a phone, it grows
// until that has half; and where the names of its rows stand in lines, until these do not touch.
// To draw it a second time costs as much as the first, so that on a page of many charts those that can be read stay as they are.
async function grow(state) {
  const areas = [...state.plot.querySelectorAll(".nsewdrag")].map(area => area.getBoundingClientRect().height)
  if (!areas.length) return
  const low = areas.length === 1 && (state.higher || isLow(state.chart, areas[0]))
  const lacking = Math.max(low ? lackingIn(state.chart, areas[0]) : -Infinity, lackingBeside(state.plot.layout.yaxis, areas[0]))
  const higher = Math.max(0, state.higher + lacking)
  if (higher === state.higher) return
  state.higher = higher
  heighten(state.node, state.chart.height + higher)
  await state.Plotly.relayout(state.plot, { height: state.chart.height + higher })
}

const isLow = (chart, area) => area < chart.height * (chart.least ?? 1 / 3)
const lackingIn = (chart, area) => Math.round(chart.height / 2 - area)

function heighten(node, height) {
  node.style.height = height + "px"
  const around = node.closest(".stElementContainer") // Streamlit's boxes have the height that was planned
  for (let box = node.parentElement; around?.contains(box); box = box.parentElement)
    Object.assign(box.style, { height: "auto", flex: "none" })
}

async function resize(state) {
  const { title, subtitle, top, pad, names, called } = state.fit()
  const { title: shown, ...axes } = state.plot.layout
  const renamed = called.flatMap((name, k) => (name === state.plot.data[k].name ? [] : k))
  const asBefore = !renamed.length && title === shown.text && subtitle === shown.subtitle.text && pad === shown.pad.t
  if (asBefore && Object.keys(names).every(axis => String(names[axis]) === String(axes[axis].ticktext)))
    await state.Plotly.Plots.resize(state.plot)
  else {
    const change = {
      ...Object.fromEntries(Object.keys(names).map(axis => [axis + ".ticktext", names[axis]])),
      "title.text": title,
      "title.pad.t": pad,
      "title.subtitle.text": subtitle,
      "margin.t": top,
      autosize: true,
    }
    await (renamed.length
      ? state.Plotly.update(state.plot, { name: renamed.map(k => called[k]) }, change, renamed)
      : state.Plotly.relayout(state.plot, change))
  }
  await grow(state)
}

function redraw(state) {
  state.wanted = null
  return draw(state.node, state.chart, state)
}

export function undraw(node) {
  const state = states.get(node)
  state?.observer?.disconnect()
  state?.Plotly.purge(state.plot)
  states.delete(node)
  urgent.delete(node)
}

const latest = new WeakMap() // .chart node -> what Streamlit last said of it: a figure that arrives late is not drawn

// What Streamlit calls, at first and whenever anything has changed.
export default function ({ data, parentElement, setStateValue }) {
  const node = parentElement.querySelector(".chart")
  const pick = data.select ? picked => setStateValue("picked", picked) : null
  const thumbnail = ({ dataset, of = "" }, index) =>
    `${data.thumbnails}/${encodeURIComponent(dataset)}/${index}.png?of=${encodeURIComponent(of)}`
  latest.set(node, data)
  if (inSight(node)) urgent.add(node)
  awaited.add(node)
  const coming = figureAt(`${data.figures}/${data.whole}.json`).finally(() => awaited.delete(node))
  coming.then(
    figure => latest.get(node) === data && !states.has(node) && !node.textContent && sketch(node, { ...data, figure }),
    () => {} // what was wrong is said below
  )
  Promise.all([load(data.plotly), coming])
    .then(
      ([Plotly, figure]) =>
        node.isConnected && latest.get(node) === data && draw(node, { ...data, figure }, { Plotly, thumbnail, pick })
    )
    .catch(error => {
      if (latest.get(node) !== data) return
      undraw(node)
      node.textContent = error.message
    })
    .finally(() => urgent.delete(node))
  return () => undraw(node)
}
