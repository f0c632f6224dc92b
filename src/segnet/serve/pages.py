"""Pages for people: an upload form at ``/``, and the API's description at ``/docs``, made of its schema.

Neither loads anything from elsewhere; FastAPI's own page of the API would.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse

_FORM = Path(__file__).with_name("upload.html")
_OWN_ALONE = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td{border-top:1px solid #ccc;padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}td:first-child{white-space:nowrap}h2{margin:2rem 0 .3rem;font-size:1.1rem}"
    ":root{color-scheme:light dark}"
)


def start_page(page: Path | None) -> HTMLResponse:
    """Return the page at ``/``: the upload form, or a file of the user's (``export --to html``)."""
    if page is not None:
        return HTMLResponse(page.read_bytes())
    return HTMLResponse(_FORM.read_bytes(), headers={"Content-Security-Policy": _OWN_ALONE})


def docs_page(schema: Mapping[str, Any]) -> HTMLResponse:
    """Return the routes of an OpenAPI schema as a page: parameters, bodies and answers of each."""
    info = schema["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>The API of segnet</title><style>{_STYLE}</style>",
        f"<h1>The API of segnet {_text(info['version'])}</h1><p>{_text(info['description'])} ",
        "The same for programs: <a href=openapi.json>openapi.json</a>.</p>",
    ]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            parts.append(
                f"<h2><code>{method.upper()} {_text(path)}</code></h2><p>{_text(route['summary'])}.</p>"
            )
            rows = "".join(f"<tr><td><code>{left}</code><td>{right}" for left, right in _rows(route))
            parts.append(f"<table>{rows}</table>")
    return HTMLResponse("".join(parts), headers={"Content-Security-Policy": _OWN_ALONE})


def _rows(route: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for each in route.get("parameters", []):
        schema = each["schema"]
        choices = [value for kind in (schema, *schema.get("anyOf", [])) for value in kind.get("enum", [])]
        said = [each.get("description", ""), ", ".join(choices)]
        said += [f"default {schema['default']}"] if "default" in schema else []
        place = "?" if each["in"] == "query" else ""
        yield f"{place}{_text(each['name'])}", _text("; ".join(filter(None, said)))
    for media_type in route.get("requestBody", {}).get("content", {}):
        yield "body", _text(media_type) + (", the image as its part file" if "form" in media_type else "")
    for status, each in route["responses"].items():
        kinds = ", ".join(each.get("content", {}))
        yield _text(status), _text(each["description"]) + (f" <small>{_text(kinds)}</small>" if kinds else "")


def _text(value: object) -> str:
    return html.escape(str(value))
