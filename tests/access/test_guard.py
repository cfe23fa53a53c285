"""What is refused before a page is asked: other names, other sites, other machines, and strangers."""

from dashboard import guard
from tests.access.people import cookie, someone


def asked(path: str = "/", method: str = "GET", client: str = "127.0.0.1", **headers: str) -> str:
    scope = {
        "type": "websocket" if method == "WEBSOCKET" else "http",
        "method": method,
        "path": path,
        "client": (client, 1),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:8501"} | headers).items()],
    }
    return guard.refusal(scope)


def test_other_names_other_sites_and_other_machines_are_refused(setting):
    for host in ("127.0.0.1:8501", "localhost:8501", "[::1]:8501", "x.localhost", "192.0.2.7:8501"):
        assert asked(host=host) == ""
    for host in (
        "evil.example",
        "127.0.0.1.evil.example:8501",
        "localhost.evil.example",
        "",
        "[",
        "evil.example@127.0.0.1:8501x",
    ):
        assert asked(host=host)
    for method in ("WEBSOCKET", "PUT", "DELETE", "POST"):
        assert asked("/_stcore/stream", method, origin="http://127.0.0.1:8501") == ""
        for origin in (
            "http://evil.example",
            "http://127.0.0.1:3000",
            "null",
            "http://evil.example:8501",
            "file://",
            "http://[::1",
        ):
            assert asked("/_stcore/stream", method, origin=origin)
        assert asked("/_stcore/stream", method, origin="http://evil.example:8501", host="evil.example:8501")
    assert asked(client="192.0.2.7") and not asked(client="::1")
    setting("server.allowedHosts", ["lab.example", "localhost"])
    assert asked(host="lab.example", client="192.0.2.7") == "" and asked("/", "WEBSOCKET", origin="https://lab.example") == ""
    assert asked(host="evil.example") and asked("/", "WEBSOCKET", origin="http://localhost:3000")


def test_pictures_downloads_reports_and_uploads_are_for_those_who_may(login):
    login('view = ["bo@lab.example"]\nchange = ["ana@lab.example"]')
    sent = {
        name: "; ".join(f"{key}={value}" for key, value in cookie(someone(f"{name}@lab.example")).items())
        for name in ("ana", "bo", "eve")
    }
    for path in ("/thumb/photos/1.png", "/report/one", "/media/abc.webp"):
        assert asked(path) and asked(path, cookie=sent["eve"])
        assert asked(path, cookie=sent["bo"]) == "" == asked(path, cookie=sent["ana"])
    assert asked("/_stcore/stream", "WEBSOCKET", origin="http://127.0.0.1:3000"), (
        "not even from another port of the login's own host"
    )
    upload = "/_stcore/upload_file/session/file"
    assert asked(upload, "PUT") and asked(upload, "PUT", cookie=sent["bo"]) and asked(upload, "PUT", cookie=sent["ana"]) == ""
    assert asked("/") == "" and asked("/static/media/font.woff2") == "" and asked("/_stcore/health") == ""


def test_uploads_are_refused_where_nobody_may_change(exposed):
    assert asked("/_stcore/upload_file/a/b", "PUT", client="192.0.2.7") and asked("/report/one", client="192.0.2.7") == ""
