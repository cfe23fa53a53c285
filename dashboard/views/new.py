"""New experiment: choose data and methods, vary and change settings, see the resulting runs, launch."""

import streamlit as st

from dashboard import defaults, link
from dashboard.sections.new import runs, settings, start, vary, what
from sslcore.experiment import Store

store = Store()
link.name_tab("New experiment")
st.title("New experiment")
form = start.choose(store)
what.ask(form)
vary.ask(form)
settings.ask(form)

planned = runs.check(form)
runs.keep_link(form)
runs.show_views(form, planned)
runs.show_table(form, planned, store)
runs.offer_launch(form, planned, store)
defaults.drawn()
