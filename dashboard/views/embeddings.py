"""Embeddings: the same images as each encoder places them, picked in one panel and lit up in all; nearest neighbours in h."""

import streamlit as st

from dashboard import embeddings, link, tables, words
from dashboard.sections.embeddings import asked, neighbours, panels, selected, selection
from sslcore.status import ACTIVE

_, runs = link.header("Embeddings", points=True)
named = tables.named(runs)
lacking = {  # name -> what is wrong
    name: why
    for name, run in named.items()
    if (why := "not finished yet" if run.status().state in ACTIVE else embeddings.problem(run))
}
if lacking:
    with st.expander(
        f"{words.count(len(lacking), 'run')} of {len(named)} cannot be shown here", key="embeddings_lacking", bind="query-params"
    ):
        for name, why in lacking.items():
            st.text(f"{name}: {why.replace('`', '')}")
if len(lacking) == len(named):
    st.info(
        "No run has an embedding yet. It is made when a run ends; Watch shows how far it is.", icon=":material/hourglass_empty:"
    )
    link.page_link("watch", "Watch")
    st.stop()

question = asked.ask({name: run for name, run in named.items() if name not in lacking}, tables.labels(runs))
selection.forget_others(question.seen)
picked = selection.now(map(panels.key, question.titles))
panels.show(question, [image for image in picked if image in question.labels])  # where there is none, no point is faint
selected.show(question, picked)
neighbours.show(question)
