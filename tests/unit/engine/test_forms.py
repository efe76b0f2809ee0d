"""A multipart form, read back by a parser that is not ours."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from procos.engine.forms import multipart


class TestMultipart:
    def test_is_what_a_parser_reads_back(self) -> None:
        content = b"<\r\n--\x00\xff>"
        form, content_type = multipart({"deployment-name": "Möwe"}, {"a.bpmn": ("b.bpmn", content, "text/xml")})
        read = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + form)
        field, file = read.iter_parts()
        assert field.get_payload(decode=True) == "Möwe".encode()
        assert field["Content-Disposition"].params == {"name": "deployment-name"}
        assert file.get_payload(decode=True) == content
        assert file["Content-Disposition"].params == {"name": "a.bpmn", "filename": "b.bpmn"}
        assert file.get_content_type() == "text/xml"

    def test_holds_a_name_together_whatever_is_in_it(self) -> None:
        form, _ = multipart({}, {'ä"\r\nX: y': ('ö"; b="c', b"", "text/xml")})
        said = 'Content-Disposition: form-data; name="ä%22%0D%0AX: y"; filename="ö%22; b=%22c"'
        assert said.encode() in form.split(b"\r\n")

    def test_begins_each_time_with_another_boundary(self) -> None:
        assert multipart({}, {}) != multipart({}, {})
