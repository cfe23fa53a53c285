"""Who looks at the dashboard, and from where, as a test sets it up."""

import pytest
from streamlit import config as options
from streamlit.runtime.secrets import secrets_singleton

from sslcore.experiment import Experiment, Store
from tests import synthetic

AUTH = """[auth]
redirect_uri = "http://127.0.0.1:8501/oauth2callback"
cookie_secret = "a secret that only this server knows"
client_id = "triptych"
client_secret = "s"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)


@pytest.fixture
def setting():
    """Change Streamlit's settings for a test."""
    before = {}

    def change_to(name: str, value) -> None:
        before.setdefault(name, options.get_option(name))
        options.set_option(name, value)

    yield change_to
    for name, value in before.items():
        options.set_option(name, value)


@pytest.fixture
def exposed(setting):
    """Other machines can reach the dashboard, and nobody has to log in."""
    setting("server.address", "0.0.0.0")


@pytest.fixture
def login(setting, tmp_path, monkeypatch):
    """Set up a login, and list who may view and who may change."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(AUTH)
    setting("secrets.files", [str(secrets)])
    monkeypatch.setenv("TRIPTYCH_ACCESS", str(tmp_path / "access.toml"))
    secrets_singleton._reset()

    def allow(text: str) -> None:
        (tmp_path / "access.toml").write_text(text)

    yield allow
    secrets_singleton._reset()


@pytest.fixture
def experiment() -> Experiment:
    experiment = synthetic.store(
        Store().root, methods=("byol", "moco"), seeds=(0,), steps=20, name="one", axes={"batch_size": [64, 256]}
    )
    synthetic.failed(experiment.runs()[0])
    return experiment
