"""Where messages go is said by an operator, and never without a secret to sign them with."""

import pytest
from pydantic import ValidationError

from config.settings import SenderSettings


def test_webhooks_and_their_secrets_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_WEBHOOKS", "default=https://crm.example/in?a=b, mail=https://mail.example/hook")
    monkeypatch.setenv("REGULARS_WEBHOOK_SECRETS", "default=one=two,mail=three")

    settings = SenderSettings()

    assert settings.webhooks == {"default": "https://crm.example/in?a=b", "mail": "https://mail.example/hook"}
    assert settings.webhook_secrets == {"default": "one=two", "mail": "three"}
    assert "three" not in repr(settings)


def test_a_webhook_without_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_WEBHOOKS", "default=https://crm.example/in")

    with pytest.raises(ValidationError, match="no secret is set for the webhook default"):
        SenderSettings()


@pytest.mark.parametrize("text", ["https://crm.example/in", "default=", "=x"])
def test_what_names_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REGULARS_WEBHOOKS", text)

    with pytest.raises(ValidationError):
        SenderSettings()
