"""A small OpenID Connect provider on 127.0.0.1: whoever comes says who they are, the rest is checked as the standard has it."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "triptych", "a-client-secret"


def provider(issuer: str, people: list[str]) -> Starlette:
    from joserfc import jwt  # comes with streamlit[auth]
    from joserfc.jwk import RSAKey

    key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})
    codes: dict[str, dict[str, str]] = {}  # code -> what was asked, and who answered

    def configuration(request: Request) -> Response:
        places = {f"{name}_endpoint": f"{issuer}/{name}" for name in ("authorization", "token", "userinfo")}
        kinds = {
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return JSONResponse(
            {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "code_challenge_methods_supported": ["S256"], **places, **kinds}
        )

    def authorization(request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code" and "openid" in asked["scope"].split()
        links = "".join(f'<li><a href="/grant?{escape(urlencode(asked | {"who": who}))}">{escape(who)}</a>' for who in people)
        return HTMLResponse(f"<title>Who are you?</title><ul>{links}</ul>")

    def grant(request: Request) -> Response:
        asked = dict(request.query_params)
        code = secrets.token_urlsafe()
        codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(request: Request) -> Response:
        form = await request.form()
        basic = base64.b64decode(request.headers["authorization"].partition(" ")[2]).decode()
        asked = codes.pop(str(form["code"]))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=").decode()
        if basic != f"{CLIENT}:{SECRET}" or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": CLIENT,
            "sub": asked["who"],
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email": asked["who"],
            "email_verified": True,
        }
        return JSONResponse(
            {
                "access_token": secrets.token_urlsafe(),
                "token_type": "Bearer",
                "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, key),
            }
        )

    def jwks(request: Request) -> Response:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    routes = [
        Route("/.well-known/openid-configuration", configuration),
        Route("/authorization", authorization),
        Route("/grant", grant),
        Route("/jwks", jwks),
    ]
    return Starlette(
        routes=[
            *routes,
            Route("/token", token, methods=["POST"]),
            Route("/favicon.ico", lambda request: Response(status_code=204)),
        ]
    )


@contextmanager
def serving(port: int, people: list[str]) -> Iterator[str]:
    """The provider's address, while it runs."""
    issuer = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(provider(issuer, people), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    try:
        yield issuer
    finally:
        server.should_exit = True
        thread.join()
