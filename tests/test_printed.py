"""A printed table: texts as they are, numbers in line, nothing without a value."""

from xml.etree import ElementTree

from dashboard.printed import html

ROWS = [
    {
        "Method": "MoCo <b>& co</b>",
        "N": "3",
        "kNN": "87.4 ± 0.6 %",
        "p": "< 0.001",
        "said": "none",
        "never": "–",
        "long": "so " * 30,
    },
    {"Method": "BYOL **a** :skull:", "N": "–", "kNN": "−", "p": "–", "said": "–", "never": "–", "long": "no"},
]


def table(**options) -> ElementTree.Element:
    drawn = html(ROWS, 'the "best"', **options)
    assert "<b>" not in drawn
    return ElementTree.fromstring(drawn[drawn.index("<div") :])


def test_texts_are_never_markup_and_the_first_column_names_the_row():
    assert [cell.text for cell in table().iter("th") if cell.get("scope") == "row"] == [row["Method"] for row in ROWS]
    assert table().get("aria-label") == 'the "best"'


def test_columns_without_any_value_are_left_out():
    assert [cell.text for cell in table().iter("th") if cell.get("scope") == "col"] == ["Method", "N", "kNN", "p", "said", "long"]


def test_only_columns_of_numbers_stand_flush_right():
    looks = {cell.text: cell.get("class").split() for cell in table(strong="N").iter("th") if cell.get("scope") == "col"}
    assert [column for column, look in looks.items() if "number" in look] == ["N", "p"]  # a lone minus is no number
    assert [column for column, look in looks.items() if "strong" in look] == ["N"]


def test_only_long_texts_go_over_several_lines():
    assert ["long" in row[-1].get("class") for row in table().iter("tr")] == [False, True, False]


def test_a_long_name_may_go_over_several_lines():
    names = ["BYOL · on digits", "BYOL · on digits · batch 256 · epochs 30"]
    drawn = html([{"Method": name, "N": "2"} for name in names], "named")
    cells = ElementTree.fromstring(drawn[drawn.index("<div") :]).iter("th")
    assert {cell.text: cell.get("class") for cell in cells if cell.get("scope") == "row"} == dict(zip(names, ["", "long"]))
