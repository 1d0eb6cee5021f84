"""The section ``iam``: what is refused, and how."""

import pytest

from ctabatch.config.load import parse_config
from ctabatch.errors import InputError

PROVIDER = {"issuer": "https://iam.example.org/", "client_id": "c"}


def with_provider(**changes):
    return {"iam": {"providers": {"escape": PROVIDER | changes}}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            with_provider(issuer="http://iam.example.org/"),
            "over https only, except on this machine",
        ),
        (with_provider(issuer="iam.example.org"), "is no address such as https://"),
        (with_provider(scopes=["profile"]), "must hold openid"),
        (with_provider(secret="x"), "iam.providers.escape"),
        (
            with_provider(services={"lake": {"scopes": ["openid", "storage.read"]}}),
            "services.lake.scopes: 'storage.read' is not one of the scopes",
        ),
        (with_provider(services={"lake": {"exchange": True}}), "exchange needs an audience"),
        (with_provider(services={"dirac": {}}), "dirac has its own login"),
        (
            with_provider(claims={"projects": [{"group": "(", "gives": "x"}]}),
            "is no regular expression",
        ),
        (
            with_provider(claims={"projects": [{"group": "/p/(.*)", "gives": "\\2"}]}),
            "asks for bracket 2, but group '/p/(.*)' has only 1",
        ),
        (
            with_provider(claims={"roles": [{"group": "x", "gives": "\\g"}]}),
            "after a backslash only a number may come",
        ),
        ({"iam": {"provider": "other", "providers": {"escape": PROVIDER}}}, "not one of providers"),
        ({"iam": {"provider": "other"}}, "not one of providers (none)"),
        (
            {
                "lake": {
                    "backend": "rucio",
                    "rucio": {"host": "https://r", "account": "a", "login": "lake"},
                }
            },
            "lake.rucio.login needs iam.provider",
        ),
        (
            with_provider()
            | {
                "lake": {
                    "backend": "rucio",
                    "rucio": {"host": "https://r", "account": "a", "login": "lake"},
                }
            },
            "'lake' is not one of iam.providers.escape.services (none)",
        ),
    ],
)
def test_mistakes(content, message):
    with pytest.raises(InputError) as error:
        parse_config(content)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_lake_finds_its_login():
    content = with_provider(services={"lake": {"audience": "rucio"}})
    content["lake"] = {"backend": "rucio"}
    content["lake"]["rucio"] = {"host": "https://r", "account": "a", "login": "lake"}
    config = parse_config(content)
    assert config.iam.default == "escape"
    name, provider = config.lake.rucio.login_provider
    assert (name, provider.client_id) == ("escape", "c")


def test_plain_http_on_this_machine_only():
    config = parse_config(with_provider(issuer="http://127.0.0.1:1"))
    assert config.iam.providers["escape"].issuer == "http://127.0.0.1:1"
