from __future__ import annotations

import pytest

from dubline.embedded.environment import inherited
from dubline.embedded.stack import Stack


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "example.com"}, "example.com,127.0.0.1,localhost"),
        ({"no_proxy": "localhost, example.com,"}, "localhost,example.com,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_loopback_is_excluded_from_proxies(monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    environ = inherited()
    assert (environ["NO_PROXY"], environ["no_proxy"]) == (after, after)


def test_variables_of_aws_and_the_port_of_metrics_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "stale")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.test")
    monkeypatch.setenv("DUBLINE_METRICS_PORT", "9000")
    monkeypatch.setenv("KEPT", "yes")
    environ = Stack({"EXTRA": "yes"}).environ
    assert [name for name in environ if name.startswith(("AWS_", "DUBLINE_METRICS_"))] == []
    assert (environ["KEPT"], environ["EXTRA"]) == ("yes", "yes")
