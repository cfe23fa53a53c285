"""Embeddings: the same images as each encoder places them, picked in one panel and lit up in all; nearest neighbours in h."""

import streamlit as st

from dashboard import embeddings, head, link, tables, words
from dashboard.sections.embeddings import asked, neighbours, panels, selected, selection
from sslcore.status import ACTIVE, RESUMABLE

_, runs = head.of_results("Embeddings", points=True)
named = tables.named(runs)
states = {name: run.status().state for name, run in named.items()}
resumable = {name for name, run in named.items() if states[name] in RESUMABLE and run.goes_on()}


def problem(name: str) -> str:
    if states[name] in ACTIVE:
        return "not finished yet"
    why = embeddings.problem(named[name])
    return f"{states[name]}: Watch says why, and can resume it" if why and name in resumable else why


lacking = {name: why for name in named if (why := problem(name))}
if lacking:
    with st.expander(
        f"{words.count(len(lacking), 'run')} of {len(named)} cannot be shown here", key="embeddings_lacking", bind="query-params"
    ):
        for name, why in lacking.items():
            st.text(f"{name}: {why.replace('`', '')}")
if len(lacking) == len(named):
    if any(state in ACTIVE for state in states.values()):
        said = "No run has an embedding yet. It is made when a run ends; Watch shows how far it is."
    elif resumable:
        said = "No run got as far as its embedding. Watch says why, and can resume them."
    else:
        said = "No run has an embedding that can be read. The list above says why, and what makes it again."
    st.info(said, icon=":material/info:")
    link.page_link("watch", "Watch")
    st.stop()

question = asked.ask({name: run for name, run in named.items() if name not in lacking}, tables.labels(runs))
picked = selection.now(map(panels.key, question.titles), question.seen)
panels.show(question, [image for image in picked if image in question.labels])  # where there is none, no point is faint
selected.show(question, picked)
neighbours.show(question)
