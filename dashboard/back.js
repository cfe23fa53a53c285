// One step of the browser's history from page to page.
//
// Where a reader follows a link to another page, Streamlit writes two or three addresses, each as a step of its own: that
// of the page being left without what was chosen on it, with what all pages share (link.py), and the next page's. Back
// would lead to a page that has forgotten what was chosen. The first is a step; the others take its place, and so does what
// a page writes before its reader does anything: one by one, what was chosen on it when it was last seen.
export default function () {
  if (window.triptychBack) return
  window.triptychBack = true
  const push = history.pushState.bind(history)
  let leaving = false // a link was clicked, and its page is not there yet
  let stepped = false // since then
  let untouched = true // the page that is there

  const clicked = event => {
    const to = event.target.closest?.("a[href]")
    leaving = Boolean(to) && to.pathname !== location.pathname && !to.target && !to.hasAttribute("download")
    stepped = false
  }
  document.addEventListener("click", clicked, true)
  for (const input of ["pointerdown", "keydown", "click"]) document.addEventListener(input, () => (untouched = false), true)
  window.addEventListener("popstate", () => (untouched = true))
  history.pushState = (state, unused, url) => {
    const arrives = new URL(url ?? "", location.href).pathname !== location.pathname
    if (untouched || (leaving && stepped)) history.replaceState(state, unused, url)
    else push(state, unused, url)
    stepped = true
    if (arrives) leaving = false
    untouched ||= arrives
  }
}
