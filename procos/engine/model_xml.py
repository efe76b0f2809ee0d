"""The XML of a deployed model, as the engine hands it out; read for what only the model can tell."""

from __future__ import annotations

from lxml import etree

BPMN = "{http://www.omg.org/spec/BPMN/20100524/MODEL}"
CAMUNDA = "{http://camunda.org/schema/1.0/bpmn}"


def root_of(xml: str) -> etree._Element:
    """Read a model, without its comments.

    Raises:
        ValueError: it is not XML.
    """
    # The text is decoded already, whatever encoding it names; entities and other files are never looked at.
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(xml.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the model cannot be read: {error}") from error
