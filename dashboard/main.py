"""The frame around every page: who may see it, the navigation, and the experiment that the URL names."""

from pathlib import Path

import streamlit as st

from dashboard import access, back, heap, link, login

MARK = (Path(__file__).parent / "mark.svg").read_text(encoding="utf-8")
# Streamlit tells by a faint grey alone which link the keyboard is on. And of points (WebGL) above which an opaque menu lies,
# Chromium leaves out as much at the lower end as the menu hides at the upper one. Choices beside others are in one line, on a
# phone some of them out of sight. What has nothing to show leaves no gap.
STYLE = """<style>
a:focus-visible { outline: 2px solid !important; outline-offset: -2px; }
[data-testid="stHeader"] { opacity: 0.999; }
[data-testid="stButtonGroup"] > div { flex-wrap: wrap; }
.st-key-triptych_back { position: absolute; }
</style>"""

rights = access.rights()
st.set_page_config(page_icon=MARK, layout="wide")
st.logo(MARK, size="large")
st.html(STYLE)
link.remember_experiment()
pages = [
    st.Page(link.VIEWS / "experiments.py", title="Experiments", icon=":material/science:", default=True),
    st.Page(link.VIEWS / "new.py", title="New experiment", icon=":material/add:"),
    st.Page(link.VIEWS / "watch.py", title="Watch", icon=":material/monitoring:"),
    st.Page(link.VIEWS / "compare.py", title="Compare", icon=":material/stacked_line_chart:"),
    st.Page(link.VIEWS / "probe.py", title="Probe", icon=":material/target:"),
    st.Page(link.VIEWS / "embeddings.py", title="Embeddings", icon=":material/scatter_plot:"),
    st.Page(link.VIEWS / "ablations.py", title="Ablations", icon=":material/ssid_chart:"),
    st.Page(link.VIEWS / "evidence.py", title="Evidence", icon=":material/balance:"),
    st.Page(link.VIEWS / "claims.py", title="Claims", icon=":material/gavel:"),
    st.Page(link.VIEWS / "methods.py", title="Methods", icon=":material/menu_book:"),
]
page = st.navigation(pages, position="top" if rights.view else "hidden")
link.close_dialogs(page.title)
if rights.view:
    back.install()
    login.say(rights)
    try:
        page.run()
    finally:
        heap.set_aside(page.title)
else:
    link.name_tab()
    login.ask(rights)
