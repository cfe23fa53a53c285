// The words of a chart in lines that fit, where it is narrow: its heading, its legend, and the names beside its axes.
// One module with chart.js.

const pencil = document.createElement("canvas").getContext("2d")

// A line of words as several, none wider than `width` pixels in the pencil's font: of a word that is, as much as fits.
function brokenUp(line, width) {
  const tooWide = text => pencil.measureText(text).width > width
  const parts = word => word.split(/(?<=[-_])/).flatMap(part => (tooWide(part) ? [...part] : part))
  const lines = [""]
  for (const word of line.split(/(?<!=) (?!=)/)) // "N = 5" is one
    for (const [k, part] of (tooWide(word) ? parts(word) : [word]).entries()) {
      const longer = lines.at(-1) + (k || !lines.at(-1) ? "" : " ") + part
      if (lines.at(-1) && tooWide(longer)) lines.push(part)
      else lines[lines.length - 1] = longer
    }
  return lines
}

// A name, which may have lines already, in lines that fit.
function nameWithin(name, width) {
  const lines = name.split("<br>").map(unescaped)
  if (lines.every(line => pencil.measureText(line).width <= width)) return name
  return brokenUp(lines.join(" "), width).map(escaped).join("<br>")
}

// Text in lines that fit. Text with markup other than <br> stays as it is.
function inLines(text, size, family, width) {
  const given = text.split("<br>")
  if (!width || given.some(line => line.includes("<"))) return given
  pencil.font = `${size}px ${family}`
  return given.flatMap(line => brokenUp(unescaped(line), width - 4).map(escaped))
}

// The tool bar lies right of the title. Where a narrow chart has no room there, and on phones, whose readers have no pointer
// to make it go away, it has a line of its own above.
const NARROW = 520 // pixels: 200 of the bar, and the longest titles
const TOOLS = 26 // pixels, of that line
const phone = matchMedia("(hover: none), (max-width: 640px)")

// A layout's title and subtitle in lines that fit, and the upper margin with room for them.
function fitted(layout, width, family) {
  const own = layout.template.layout
  const { size = 16 } = own.title.font ?? {}
  const tools = width < NARROW && phone.matches ? TOOLS : 0
  let top = tools + (layout.margin?.t ?? own.margin?.t ?? 100)
  const [title, subtitle] = [
    [layout.title?.text, size],
    [layout.title?.subtitle?.text, own.title.subtitle.font.size ?? 12],
  ].map(([text = "", size]) => {
    const lines = inLines(text, size, family, width)
    top += Math.round(1.3 * size) * (lines.length - text.split("<br>").length)
    return lines.join("<br>")
  })
  // The first of several lines stands higher by its letters' height.
  const pad = tools + (own.title.pad?.t ?? 0) + (title.includes("<br>") ? Math.round(0.7 * size) : 0)
  return { title, subtitle, top, pad, tools }
}

const SHARE = 0.45 // of a chart's width, which names beside its axes may take
const SPACING = 17 // pixels from a line of a name to the next

// The names beside each y axis that has some, by the axis' name, in lines where they are too long.
// Those of a matrix stay on a line, as its rows are no higher than its columns are wide.
function namesOf(layout, width, family) {
  const named = Object.entries(layout).filter(([name, axis]) => /^yaxis/.test(name) && axis.ticktext && !axis.scaleanchor)
  pencil.font = `${layout.template.layout.font.size}px ${family}`
  return Object.fromEntries(
    named.map(([name, axis]) => [name, width ? axis.ticktext.map(text => nameWithin(text, SHARE * width)) : axis.ticktext])
  )
}

const LEGEND = { letter: 12, beside: 45 } // pixels: its letters, and what a name has beside it, its symbol above all

// The names of the traces as the legend has them.
function legendOf(traces, width, family) {
  pencil.font = `${LEGEND.letter}px ${family}`
  return traces.map(({ name }) => (name && width ? nameWithin(name, width - LEGEND.beside) : name))
}

// How many pixels a drawn chart must gain for the names of its rows, which stand at whole numbers, not to touch. `area`: pixels
// that its y axis has.
function lackingBeside({ range, ticktext, domain = [0, 1] }, area) {
  const lines = Math.max(0, ...(ticktext ?? []).map(text => text.split("<br>").length))
  if (lines < 2) return -Infinity
  const needed = (SPACING * lines + 4) * Math.abs(range[1] - range[0])
  return Math.round((needed - area) / (domain[1] - domain[0]))
}
