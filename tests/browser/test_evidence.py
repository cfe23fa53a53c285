"""Evidence in a browser: a link shows the choices that it names, and the images on which two methods differ are there."""

from playwright.sync_api import expect

from sslcore import datasets
from tests import synthetic


def test_a_link_shows_its_choices_and_the_pictures(app, page):
    synthetic.store(app.store, name="evidence", seeds=(0, 1))
    datasets.load("photos", 32)  # decoded, so that there are thumbnails
    page.goto(f"{app.url}/evidence?experiment=evidence&evidence_measure=kNN&evidence_cost=operations&evidence_pair=MoCo+and+BYOL")
    for key in ("evidence_pairs", "evidence_cost_chart", "evidence_classes"):
        page.wait_for_function(f"document.querySelector('.st-key-{key} .js-plotly-plot')?._fullData?.length > 1")
    assert "kNN" in page.evaluate("document.querySelector('.st-key-evidence_pairs .js-plotly-plot')._fullLayout.title.text")
    assert (
        page.evaluate("document.querySelector('.st-key-evidence_cost_chart .js-plotly-plot')._fullLayout.xaxis.title.text")
        == "operations"
    )
    assert page.evaluate("document.querySelector('.st-key-evidence_classes .js-plotly-plot')._fullLayout.title.text").startswith(
        "BYOL − MoCo"
    )
    pictures = page.locator(".pictures img")
    expect(pictures.first).to_be_attached()
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.pictures img').naturalWidth === 32")
    assert 0 < pictures.count() <= 24
    assert "evidence_pair=MoCo+and+BYOL" in page.url and "evidence_cost=operations" in page.url
    page.set_viewport_size({"width": 390, "height": 900})
    said = page.get_by_role("region", name="What may be said of each pair").locator("td.long").first
    assert said.evaluate("cell => cell.getBoundingClientRect().right") <= 390, "on a phone a whole sentence is seen"
