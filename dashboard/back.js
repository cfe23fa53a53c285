// One step of the browser's history for each thing that a reader does.
//
// Where a reader goes to another page, by a link or a button, Streamlit writes two or three addresses, each as a step of its
// own: that of the page being left without what was chosen on it, with what all pages share (link.py), and the next page's.
// Back would lead to a page that has forgotten what was chosen. The first is a step; the others take its place, until the
// reader does something again. So does what a page writes before: one by one, what was chosen on it when it was last seen.
const phone = matchMedia("(max-width: 768px)") // where Streamlit lays the menu over the page

export default function () {
  if (window.triptychBack) return
  window.triptychBack = true
  const push = history.pushState.bind(history)
  let answered = true // nothing was done since the last address was written
  for (const input of ["pointerdown", "keydown", "click"]) document.addEventListener(input, () => (answered = false), true)
  window.addEventListener("popstate", () => (answered = true))
  history.pushState = (state, unused, url) => {
    if (answered) history.replaceState(state, unused, url)
    else push(state, unused, url)
    answered = true
  }
  // A dialog was asked for in a menu that is gone when it closes: the focus goes to the button of that menu.
  let asked = null // of what had the focus last, outside of dialogs and menus: the class that names it
  let open = false
  document.addEventListener("focusin", event => {
    const named = event.target.closest('[class*="st-key-"]')
    if (named?.closest("main, [data-testid='stMain']")) asked = [...named.classList].find(name => name.startsWith("st-key-"))
  })
  new MutationObserver(() => {
    const before = open
    open = !!document.querySelector('[role="dialog"]')
    if (before && !open && asked)
      setTimeout(() => {
        if (document.activeElement === document.body) document.querySelector(`.${CSS.escape(asked)} button`)?.focus()
      })
  }).observe(document.body, { childList: true })
  // On a phone the menu lies over the page, and would stay there: a choice in it closes it.
  document.addEventListener("click", event => {
    if (phone.matches && event.target.closest('[data-testid="stSidebarNavLink"]'))
      setTimeout(() => document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click())
  })
}
