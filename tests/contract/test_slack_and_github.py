"""The adapters slack and github against services that keep what they are told, and can be asked for it."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from procos.domain.errors import BusinessError
from procos.settings import load_settings
from tasks.adapters.github.adapter import GitHub
from tasks.adapters.slack.adapter import Slack
from tasks.blobs import StepBlobs
from tests.emulated import TOKEN, Emulated, emulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.adapters.adapter import Adapter

REPOSITORY = "admin/shop"
WORKFLOW = "deploy.yml"


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*pem).decode()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, private_key: str) -> Iterator[Emulated]:
    seed = {
        "tokens": {TOKEN: {"login": "admin", "scopes": ["repo", "user"]}},
        "github": {
            "users": [{"login": "admin"}],
            "repos": [{"owner": "admin", "name": "shop", "auto_init": True}],
            "apps": [
                {
                    "app_id": 42,
                    "slug": "procos",
                    "name": "procos",
                    "private_key": private_key,
                    "permissions": {"issues": "write", "contents": "read"},
                    "installations": [{"installation_id": 7, "account": "admin"}],
                }
            ],
        },
        "slack": {"channels": [{"name": "general"}]},
    }
    with emulated(tmp_path_factory.mktemp("emulate"), seed) as found:
        yield found


@pytest.fixture
def slack(there: Emulated) -> Slack:
    settings = load_settings({"PROCOS_BLOBS_URL": f"memory://{uuid.uuid4()}"}, dotenv=None)
    blobs = StepBlobs(settings=settings, process_instance_id="instance-1")
    return Slack(Slack.connection(type="slack", token=TOKEN, base_url=there.slack, channel="general"), blobs=blobs)


@pytest.fixture
def github(there: Emulated) -> GitHub:
    return GitHub(GitHub.connection(type="github", token=TOKEN, base_url=there.github, repository=REPOSITORY))


def call(adapter: Adapter, operation: str, **parameters: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 20.0
    return dict(adapter.call_service(operation, parameters, deadline=deadline, idempotency_key="step-1"))


class TestSlack:
    def test_keeps_a_message_a_thread_and_a_reaction(self, slack: Slack, there: Emulated) -> None:
        sent = call(slack, "send_message", message="hello")
        call(slack, "send_message", message="and again", channel=sent["channel"], thread_ts=sent["ts"])
        call(slack, "update_message", **sent, message="hello, world")
        call(slack, "add_reaction", **sent, emoji=":tada:")
        call(slack, "add_reaction", **sent, emoji="tada")
        asked = {"channel": sent["channel"], "ts": sent["ts"]}
        thread = there.ask(f"{there.slack}/conversations.replies", asked)["messages"]
        assert [each["text"] for each in thread] == ["hello, world", "and again"]
        assert [each["name"] for each in thread[0]["reactions"]] == ["tada"]

    def test_keeps_a_file(self, slack: Slack, there: Emulated) -> None:
        assert slack._blobs is not None
        report = slack._blobs.put(b"a,b\n1,2\n", media_type="text/csv", name="report.csv")
        channel = call(slack, "send_message", message="a report follows")["channel"]
        found = call(slack, "upload_file", file=report, channel=channel, message="here it is")
        kept = there.ask(f"{there.slack}/files.info", {"file": found["file_id"]})["file"]
        assert (kept["name"], kept["size"]) == ("report.csv", 8)

    def test_knows_no_such_channel(self, slack: Slack) -> None:
        with pytest.raises(BusinessError) as raised:
            call(slack, "send_message", message="hello", channel="nowhere")
        assert raised.value.code == "CHANNEL_NOT_FOUND"

    def test_is_well(self, slack: Slack) -> None:
        health = slack.health_check()
        assert health.is_well, health.detail


class TestGitHub:
    def test_keeps_an_issue_from_its_beginning_to_its_end(self, github: GitHub) -> None:
        title = f"Broken {uuid.uuid4().hex}"
        made = call(github, "create_issue", title=title, body="It is.", labels=["bug"])
        number = made["number"]
        assert (made["state"], made["labels"]) == ("open", ["bug"])
        call(github, "comment_issue", number=number, body="Seen.")
        seen = call(github, "get_issue", number=number)
        assert (seen["body"], seen["comments"], seen["is_pull_request"]) == ("It is.", 1, False)
        found = call(github, "search_issues", query=f"is:issue {title}")
        assert [each["number"] for each in found["issues"]] == [number]
        assert call(github, "close_issue", number=number)["state"] == "closed"
        assert call(github, "close_issue", number=number)["state"] == "closed"

    def test_opens_a_pull_request(self, github: GitHub, there: Emulated) -> None:
        refs = f"{there.github}/repos/{REPOSITORY}/git/refs"
        head = there.ask(f"{there.github}/repos/{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
        there.ask(refs, {"ref": "refs/heads/fix", "sha": head})
        made = call(github, "create_pull_request", title="Mend it", head="fix", base="main", draft=True)
        assert (made["state"], made["draft"]) == ("open", True)

    def test_knows_no_such_thing(self, github: GitHub) -> None:
        for operation, parameters in (
            ("get_issue", {"number": 99_999}),
            ("create_issue", {"title": "x", "repository": "admin/nowhere"}),
            ("dispatch_workflow", {"workflow": WORKFLOW, "ref": "main"}),
        ):
            with pytest.raises(BusinessError) as raised:
                call(github, operation, **parameters)
            assert raised.value.code == "NOT_FOUND"

    def test_lets_an_app_in(self, github: GitHub, there: Emulated, private_key: str) -> None:
        number = call(github, "create_issue", title="For the app to see")["number"]
        fields = {"app_id": 42, "installation_id": 7, "private_key": private_key, "repository": REPOSITORY}
        app = GitHub(GitHub.connection(type="github", base_url=there.github, **fields))
        assert call(app, "get_issue", number=number)["title"] == "For the app to see"

    def test_is_well(self, github: GitHub) -> None:
        health = github.health_check()
        assert health.is_well, health.detail
