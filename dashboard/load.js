// plotly.js is fetched once a page, however many charts there are.
function load(url) {
  window.triptychPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = url
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => reject(new Error("plotly.js could not be loaded from " + url))
    document.head.appendChild(script)
  })
  return window.triptychPlotly
}
