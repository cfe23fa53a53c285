"""A teammate's experiment whose every text tries to be more than text: on every page, in every figure, and in the report."""

from urllib.parse import urlencode

import pytest

from sslcore import trash
from sslcore.experiment import Experiment, Store
from sslcore.files import write_json
from tests import synthetic
from tests.browser.conftest import profile_of
from tests.browser.test_report import DRAWN, until

NAME = "evil <img src=x onerror=pwned=1> [evil](javascript:pwned=1) :skull: $e^{vil}$ **evil** www.evil.example"
EVIL = (
    "evil <img src=x onerror='window.pwned=1'><script>window.pwned=1</script><b>evil</b><a href='http://evil.example'>evil</a><a "
    "href='javascript:pwned=1'>evil</a> "
    "[evil](javascript:window.pwned=1) [evil](http://evil.example) ![evil](http://evil.example/x.png) **evil** `evil` "
    ":material/skull: :skull: :red[evil] $e^{vil}$ "
    "https://evil.example/a www.evil.example a@evil.example %{x} %{customdata[0]} \\ {{ 7 * 7 }}"
)
LOOK = """() => {
  const found = window.pwned ? ["a script ran"] : []
  const evil = /evil\\.example|javascript:|pwned/
  for (const node of document.querySelectorAll("a, img, image, script, iframe, use, form, object, embed, link"))
    for (const name of ["href", "src", "xlink:href", "action", "data"])
      if (evil.test(node.getAttribute(name) ?? "") && !(node.origin === location.origin && node.href.startsWith(location.origin))
          && !(node.src ?? "").startsWith(location.origin + "/thumb/")) found.push(node.outerHTML.slice(0, 300))
  for (const node of document.querySelectorAll("b, strong, em, code, span, tspan, [data-testid=stIconMaterial]"))
    if (/^(evil|skull)$/.test(node.textContent)) found.push(node.outerHTML.slice(0, 300))
  for (const node of document.querySelectorAll("[onerror], .katex"))
    if (/vil/.test(node.outerHTML)) found.push(node.outerHTML.slice(0, 300))
  return document.body.innerText.includes(String.fromCodePoint(0x1F480)) ? [...found, "an emoji"] : found
}"""
PAGES = {
    "experiments": "Experiments",
    "compare": "Compare",
    "probe": "Probe",
    "embeddings": "Embeddings",
    "ablations": "Ablations",
    "evidence": "Evidence",
    "claims": "Claims",
    "methods": "Methods",
}


def evil(root) -> Experiment:
    """An experiment as a folder copied by hand may hold it: nothing that an import would refuse is left out."""
    experiment = synthetic.store(root, methods=("byol", "moco"), seeds=(0,), steps=100, name=NAME, axes={"batch_size": [64, 256]})
    synthetic.embed(experiment)
    with experiment.editing() as spec:
        spec.title, spec.question, spec.tags, spec.command = EVIL, EVIL, [EVIL[:60], "www.evil.example"], EVIL
        spec.notes = (
            "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script> [x](javascript:window.pwned=1) "
            "![x](http://pictures.example/x.png) <a href='javascript:pwned=1'>x</a>"
        )
    for k, run in enumerate(experiment.runs()):
        synthetic.questions(run)
        results = run.results()
        linear = results["linear"]
        classes = [f"{k} {EVIL}" for k in range(len(linear["classes"]))]
        linear |= {"classes": classes, "per_class": dict(zip(classes, linear["per_class"].values()))}
        for part in ("linear", "knn", "umap", "cost", "heads"):
            results[part]["protocol"] = EVIL
        results |= {
            "label_efficiency_protocol": EVIL,
            "fine_tuning_protocol": EVIL,
            "transfer": {EVIL: next(iter(results["transfer"].values())) | {"protocol": EVIL}},
        }
        results["cost"]["device"] = f"{k} {EVIL}"
        write_json(run.results_file, results)
        write_json(run.environment_file, {EVIL: EVIL, "packages": {EVIL: EVIL}})
        run.log_file.write_text(f"{EVIL}\n")
        run.update_status(warnings=[EVIL], error=EVIL, slot=EVIL)
    failed = experiment.runs()[0]
    failed.update_status(state="failed")
    failed.path.rename(failed.path.with_name(NAME))
    other = experiment.run("moco-bs64-s0")
    write_json(other.config_file, other.config.model_dump() | {"dataset": f"/{NAME}"})
    return experiment


@pytest.fixture(scope="module")
def hostile(app):
    experiment, store = evil(app.store), Store(app.store)
    claims = store.root / "claims.yaml"
    write_json(
        claims, [{"claim": EVIL, "source": EVIL, "needs": EVIL, "note": EVIL, "parts": [{"rule": "no such rule", "axis": EVIL}]}]
    )
    yield experiment
    claims.unlink()
    trash.discard(store, experiment)


def settled(page) -> None:
    page.locator('[data-test-script-state="notRunning"]').wait_for()  # what stood there before, on another page, is gone
    page.locator("[data-testid=stStatusWidget], [data-testid=stSkeleton]").first.wait_for(state="detached")
    page.wait_for_function("() => [...document.querySelectorAll('.chart')].every(node => node.querySelector('.main-svg'))")


def test_text_stays_text_on_every_page(app, page, hostile):
    def look(name: str, title: str) -> None:
        page.get_by_role("heading", name=title, exact=True).first.wait_for()
        settled(page)
        if name != "methods":  # which shows nothing of it
            page.wait_for_function("() => document.querySelector('.stApp').innerText.includes('<img src=x')")
        if found := page.evaluate(LOOK):
            wrong[name] = found

    wrong = {}
    page.goto(f"{app.url}/watch?{urlencode({'experiment': hostile.name})}")
    look("watch", "Watch")
    for name, title in PAGES.items():
        page.get_by_role("link", name=title, exact=True).first.click()
        look(name, title)
    page.goto(f"{app.url}/new?{urlencode({'clone': hostile.name})}")
    look("new", "New experiment")
    assert not wrong, "\n".join(f"{name}: {one}" for name, found in wrong.items() for one in found)


def test_text_stays_text_in_dialogs(app, page, hostile):
    page.goto(f"{app.url}/?experiments_text=evil")
    for entry in ("Details and notes", "Share", "Delete"):
        page.get_by_role("button", name="Actions for").first.click()
        page.get_by_text(entry, exact=False).last.click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        settled(page)
        if entry.startswith("Details"):
            page.get_by_text("Read notes").click()
        assert page.evaluate(LOOK) == [], entry
        dialog.get_by_role("button", name="Close", exact=True).click()
        dialog.wait_for(state="detached")
        settled(page)


def test_text_stays_text_in_the_report(app, browser, hostile, tmp_path):
    from dashboard import report

    file = tmp_path / "report.html"
    file.write_text(report.html(hostile))
    context = profile_of(browser, offline=True)
    opened, asked = context.new_page(), []
    opened.on(
        "request", lambda request: None if request.url.startswith(("data:", "blob:", "file:")) else asked.append(request.url)
    )
    opened.goto(file.as_uri())
    until(opened, DRAWN)
    assert "<img src=x" in opened.locator("body").inner_text()
    found = opened.evaluate(LOOK)
    context.close()
    assert not asked and not found
    from markdown_it import MarkdownIt

    kinds = {
        (child.type, child.attrGet("href") or child.attrGet("src"))
        for token in MarkdownIt("commonmark").parse(report.markdown(hostile))
        for child in token.children or ()
    }
    assert not [kind for kind in kinds if kind[0] in ("image", "html_inline") or "evil" in str(kind[1])]
