"""People who open the dashboard, and what a store holds."""

import json
from pathlib import Path

from streamlit.web.server.starlette.starlette_app_utils import create_signed_value


def someone(email: str, **claims) -> dict:
    return {"is_logged_in": True, "email": email, "provider": "default", **claims}


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def cookie(
    user: dict, secret: str = "a secret that only this server knows", origin: str = "http://127.0.0.1:8501"
) -> dict[str, str]:
    value = json.dumps(user | {"origin": origin})
    return {"_streamlit_user": create_signed_value(secret, "_streamlit_user", value).decode()}
