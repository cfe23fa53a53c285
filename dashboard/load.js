// plotly.js, and any part of it, is fetched once a page, however many charts there are.
function load(url) {
  const known = (window.triptychPlotly ??= {})
  return (known[url] ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = url
    script.onload = () => resolve(window.Plotly) // of this script, even where the page has several
    script.onerror = () => {
      delete known[url]
      const again = "it is tried again with the next change, or when the page is loaded again."
      reject(new Error(`plotly.js could not be loaded from ${url}; ${again}`))
    }
    document.head.appendChild(script)
  }))
}
