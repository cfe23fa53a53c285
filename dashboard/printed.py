"""A table as on paper: texts, with nothing to sort or to select."""

import re
from collections.abc import Mapping, Sequence

import streamlit as st
from jinja2 import Environment

NUMBER = re.compile(r"[<+−-]?\s?\d|–$")  # 87.4 ± 0.6 %, 2 min 5 s, < 0.001, or none
LONG = 60  # characters from which a text may go over several lines
LONG_NAME = 30  # characters from which the name of a row may
# Of a long table 21 rows are seen and half of another, which tells that there are more: not every scroll bar shows itself.
TABLE = Environment(autoescape=True).from_string("""
<style>
.printed { overflow: auto; max-height: 707px; font-size: 0.875rem; container-type: inline-size; }
/* Where columns are out of sight, the last one fades, until one has scrolled to it; a table that fits has no such timeline. */
@property --last { syntax: "\\3cnumber\\3e"; inherits: false; initial-value: 1; }  /* no tag, which would be taken out */
@keyframes printed { from { --last: 0.1; } 90%, to { --last: 1; } }
@supports (animation-timeline: scroll()) {
    .printed { mask-image: linear-gradient(to left, rgb(0 0 0 / var(--last)), black 36px); }
    .printed { animation: printed linear; animation-timeline: scroll(self inline); }
}
.printed table { border-collapse: collapse; }
.printed :is(th, td) { padding: 4px 14px 4px 0; text-align: left; font-weight: 400; white-space: nowrap; }
.printed tr { border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.printed thead th { opacity: 0.7; }
.printed .number { text-align: right; }
.printed td.strong { font-weight: 600; }
.printed .long { white-space: normal; min-width: min(22em, 62cqw); }
.printed th.long { min-width: min(16em, 32cqw); }
.printed :is(th, td):last-child { padding-right: 0; }
</style>
<div class="printed" role="region" aria-label="{{ alt }}" tabindex="0"><table>
<thead><tr>
{%- for column, look in looks.items() %}<th scope="col" class="{{ look }}">{{ column }}</th>{% endfor -%}
</tr></thead>
{%- for row in rows %}
<tr>
{%- for column, look in looks.items() %}
{%- if loop.first %}<th scope="row" class="{{ 'long' if row[column] | length > long_name }}">{{ row[column] }}</th>
{%- else %}<td class="{{ look }}{{ ' long' if row[column] | length > long }}">{{ row[column] }}</td>
{%- endif %}
{%- endfor -%}
</tr>
{%- endfor %}
</table></div>
""")


def printed(rows: Sequence[Mapping[str, str]], alt: str, strong: str | None = None) -> None:
    """Draw a table, each row as {column: text}; the first column names the row, `strong` is the one that matters most.

    Columns of nothing but numbers stand flush right, and those in which no row has a value ("–") are left out. `alt`
    names the table for those who hear it. Streamlit's own read texts as Markdown, and charts wait for their code.
    """
    if rows:
        st.html(html(rows, alt, strong))


def html(rows: Sequence[Mapping[str, str]], alt: str, strong: str | None = None) -> str:
    """What `printed` draws."""
    looks = {}
    for column in rows[0]:
        texts = [row[column] for row in rows]
        if any(text != "–" for text in texts):
            number = all(NUMBER.match(text) for text in texts)
            looks[column] = " ".join(["number"] * number + ["strong"] * (column == strong))
    return TABLE.render(rows=rows, alt=alt, looks=looks, long=LONG, long_name=LONG_NAME)
