// All of a chart's code that the socket carries, with every change of every chart: where the rest is.
export default function (component) {
  const node = component.parentElement.querySelector(".chart")
  const mounted = import(new URL(component.data.code, location.href).href).then(chart => chart.default(component))
  mounted.catch(error => {
    node.textContent = "The code of charts could not be loaded: " + error.message
  })
  return () =>
    mounted.then(
      unmount => unmount(),
      () => {}
    )
}
