"""The form of a new experiment, on a slow line."""

import re

from playwright.sync_api import expect


def test_methods_that_come_late_are_those_that_are_chosen(app, page):
    """Streamlit says only once what a widget is set to; its code may still be on its way when the page runs again."""
    held = []
    page.route("**/ButtonGroup*.js", lambda route: held.append(route))
    page.goto(f"{app.url}/new?new_preset=quick")
    epochs = page.get_by_role("spinbutton", name="Epochs", exact=True)
    epochs.fill("5")
    epochs.press("Enter")
    page.wait_for_url(re.compile("epochs%3D5|epochs=5"))
    assert held
    for route in held:
        route.continue_()
    expect(page.locator("[data-variant=pills][aria-pressed=true]")).to_have_text(["MoCo", "SimCLR", "BYOL"])
    page.get_by_role("button", name="BYOL", exact=True).click()
    expect(page.get_by_role("button", name="Launch 2 runs")).to_be_visible()


def test_a_word_and_enter_choose_one_setting_to_vary(app, page):
    """Streamlit would offer to choose all that match, and first."""
    page.goto(f"{app.url}/new?new_preset=quick")
    page.get_by_role("combobox", name="Vary").click()
    page.keyboard.type("batch")
    names = ("batch_size", "moco.bn_splits", "micro_batch_size")
    expect(page.get_by_role("option")).to_have_text([re.compile(name) for name in names])
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Batch size: its values, with commas", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="its values, with commas")).to_have_count(1)
