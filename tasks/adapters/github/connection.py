"""What an operator says of GitHub, or of an Enterprise Server."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from tasks.adapters.github.parameters import Repository  # noqa: TC001  # a field's type
from tasks.adapters.web import Address, WebConnection


class GitHubConnection(WebConnection):
    """An account's token, or an app with its key and installation."""

    token: SecretStr | None = None
    """A personal access token; fine-grained ones can be kept to the repositories that matter."""
    app_id: int | None = Field(None, ge=1)
    private_key: SecretStr | None = None
    """The app's private key, as PEM; better in a file of PROCOS_SECRETS_DIRECTORY than in a setting."""
    installation_id: int | None = Field(None, ge=1)
    repository: Repository | None = None
    """owner/name, for operations that name none."""
    base_url: Address = "https://api.github.com"
    """Of an Enterprise Server: https://HOST/api/v3."""

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        app = (self.app_id, self.private_key, self.installation_id)
        if (self.token is None) == (None in app) or (self.token and any(each is not None for each in app)):
            raise ValueError("expected either token, or app_id, private_key and installation_id")
        return self
