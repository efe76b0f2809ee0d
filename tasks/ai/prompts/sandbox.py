"""Fills a prompt template, and says in the words of prompts what is wrong with it.

The limits, and what a template may say, are those of every text template (`tasks.templates`); a prompt is made up of
two blocks, and uses the variables its head names. `tasks.ai.prompts.rendering` is the caller. Importing this module
imports `jinja2`, which takes a while: do so where a template is filled, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procos.domain.errors import BusinessError, TransientError
from tasks.ai.prompts.template import INVALID_INPUT, Template, wrong_template
from tasks.templates import sandbox
from tasks.templates.grammar import TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.templates.sandbox import Meter

BLOCKS = ("system", "user")


def written(template: Template, values: Mapping[str, Any], meter: Meter) -> dict[str, str]:
    """Return the text of each block of a template, filled with values; a variable that is absent is None.

    Raises:
        PermanentError: the template is wrong, or says what it may not; names the line.
        BusinessError: INVALID_INPUT, where the values make it too long, or do not fit it.
        TransientError: time is up.
    """
    try:
        compiled = sandbox.compiled(template.body, blocks=BLOCKS, declared=frozenset(template.head.variables))
        blocks = sandbox.written(compiled, values, meter)
    except TemplateError as error:
        raise wrong_template(template.name, str(error)) from error
    except sandbox.MisfitError as error:
        said = f"prompt template {template.name!r} cannot be filled with these variables: {error}"
        raise BusinessError(INVALID_INPUT, said) from None
    except sandbox.OutOfTimeError:
        raise TransientError("the prompt template was not filled in time", code="TEMPLATE_TIME") from None
    return {name: text.strip() for name, text in blocks.items()}
