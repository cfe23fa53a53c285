"""The app object: `streamlit run streamlit_app.py` and `python -m dashboard` both serve this."""

import runpy
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import access, heap, login
from dashboard.guard import Guard
from dashboard.message_queue import keep_pages_whole
from dashboard.nodelay import set_nodelay
from dashboard.routes import ROUTES


@asynccontextmanager
async def ready(app: st.App):
    """Before anybody is served: memory is shared, answers leave at once, pages arrive whole, and what is amiss is said."""
    heap.limit_arenas()
    set_nodelay()
    keep_pages_whole()
    for why in (login.problem(), access.rights_of({}).why):
        if why:
            print(why, file=sys.stderr)
    yield


MAIN = Path(__file__).parent / "dashboard" / "main.py"
app = st.App(MAIN, routes=ROUTES, middleware=[Middleware(Guard)], lifespan=ready)
if get_script_run_ctx(suppress_warning=True):  # this file is the script itself, as in Streamlit's AppTest
    runpy.run_path(str(MAIN))
