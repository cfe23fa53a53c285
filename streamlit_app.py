"""The app object: `streamlit run streamlit_app.py` and `python -m dashboard` both serve this."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import access, login
from dashboard.guard import Guard
from dashboard.promptly import promptly
from dashboard.routes import ROUTES
from dashboard.wholly import wholly


@asynccontextmanager
async def ready(app: st.App):
    """Before anybody is served: answers leave at once, pages arrive whole, and the terminal says why not everything can be done here."""
    promptly()
    wholly()
    for why in (login.problem(), access.rights_of({}).why):
        if why:
            print(why, file=sys.stderr)
    yield


app = st.App(Path(__file__).parent / "dashboard" / "main.py", routes=ROUTES, middleware=[Middleware(Guard)], lifespan=ready)
