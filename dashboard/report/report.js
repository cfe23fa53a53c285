// -- The report: every chart of the page, drawn again when the theme changes ------------------

const sheets = new Map(
  [...document.querySelectorAll("img.sheet")].map(image => [
    image.dataset.dataset,
    {
      image,
      columns: Number(image.dataset.columns),
      places: new Map(JSON.parse(image.dataset.indices).map((index, k) => [index, k])),
    },
  ])
)

// The tile of an image, cut out of its data set's sheet.
function tileOf({ dataset }, index) {
  const sheet = sheets.get(dataset)
  const k = sheet?.places.get(index)
  if (k === undefined || !sheet.image.complete) return null
  const canvas = document.createElement("canvas")
  const side = (canvas.width = canvas.height = sheet.image.naturalWidth / sheet.columns)
  canvas.getContext("2d").drawImage(sheet.image, -(k % sheet.columns) * side, -Math.floor(k / sheet.columns) * side)
  return canvas.toDataURL()
}

function drawAll() {
  for (const node of document.querySelectorAll(".chart")) {
    const { name, alt, height } = node.dataset
    const chart = { figure: node.nextElementSibling.textContent, name, alt, height: Number(height), least: 1 / 2, csv: null }
    draw(node, chart, { Plotly: window.Plotly, thumbnail: tileOf }).catch(error => {
      node.textContent = error.message
    })
  }
}

drawAll()
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll)

// Paper has the page in the width that it has on the screen; a chart drawn for a narrow window would not fit into two columns.
addEventListener("beforeprint", () => {
  document.documentElement.style.setProperty("--drawn", document.querySelector("h1").clientWidth)
})
