"""Evidence: which differences the runs bear out, at what cost, at equal budgets, and on which images."""

import streamlit as st

from dashboard import head, unprobed, words
from dashboard.sections.evidence import asked, budgets, costs, every_pair, images
from dashboard.unlike import references
from sslcore.analysis import pairs
from sslcore.analysis.order import in_order

experiment, runs = head.of_results("Evidence")
probed = in_order(run for run in runs if pairs.accuracy(run, "linear") is not None)
if not probed:
    unprobed.say(
        runs,
        "Without labels no method can be said to be more accurate than another. What needs no labels is on Compare.",
    )
    st.stop()
question = asked.ask(probed)
if not question.runs:
    st.info(f"No run has an accuracy by {question.measured_by}.", icon=":material/info:")
    st.stop()
lacking = words.lacking(run.status().state for run in runs if not run.results())
compared = f"{words.count(len(question.runs), 'probed run')} compared"
st.caption(" · ".join([compared, *lacking, f"accuracy by {question.measured_by} on h, on all test images"]))
if said := references(run.config for run in question.runs):
    st.caption(said)
head.say_cautions(runs)

costs.show_table(question)
every_pair.show(question)
costs.show_chart(question)
budgets.show(question)
images.show(question)
