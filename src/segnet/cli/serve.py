"""``serve``: answer HTTP requests with what is found in images."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from segnet.base.extras import require_package
from segnet.base.settings import Whole
from segnet.cli.app import OptionalPath, OptionalWhole, app
from segnet.cli.eval import RuntimeName


@app.command
def serve(
    models: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = ("pets-lite",),
    /,
    *,
    host: str = "127.0.0.1",
    port: Whole = 8000,
    token: Annotated[str | None, Parameter(env_var="SEGNET_TOKEN", show_default=False)] = None,
    cors: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    page: OptionalPath = None,
    max_bytes: Whole = 32_000_000,
    max_megapixels: Whole = 50,
    queue: Whole = 16,
    workers: OptionalWhole = None,
    threads: Whole = 1,
    timeout: float = 60.0,
    device: str = "auto",
    runtime: RuntimeName = "auto",
) -> int:
    """Answer HTTP requests with masks, until Ctrl-C or SIGTERM; the API is described at /docs.

    POST an image to /v1/segment; ?format= chooses json, png, overlay, cutout, coco, geojson or npy. Each
    request is one JSON line on standard output, without names or pixels of images. What has begun when the
    server is stopped is answered.

    Args:
        models: run folders, model files, bundled names (pets-lite where none is given), each also as
            NAME=MODEL; the first answers where a request names none.
        host: the address to listen on; one that other machines reach needs a token.
        port: of it; 0 takes a free one.
        token: what clients must send as "Authorization: Bearer TOKEN". Other users of the machine see what
            is typed here, so better set SEGNET_TOKEN.
        cors: an origin whose pages may call the server from a browser, such as https://example.org.
        page: an HTML file to show at /, such as segnet export --to html writes; it is shown without a token.
        max_bytes: refuse larger bodies.
        max_megapixels: refuse images of more million pixels.
        queue: refuse images beyond so many that wait.
        workers: how many images are computed at the same time; by default one a core.
        threads: how many threads compute one image of an exported model.
        timeout: seconds from a request's headers to its answer.
        device: auto, or a device by name.
        runtime: what computes: torch, or for exported models onnxruntime, openvino or litert; auto takes
            what fits.
    """
    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "scipy", "shapely"):
        require_package("segnet serve", package)
    from segnet.base.errors import refuse
    from segnet.serve.limits import Limits, require_token_beyond_here
    from segnet.serve.running import open_models
    from segnet.serve.running import serve as serve_models

    refuse((threads < 1, f"--threads must be 1 or more, got {threads}"))
    limits = Limits(token, cors, page, max_bytes, max_megapixels, queue, workers, timeout)
    require_token_beyond_here(host, token)  # before models are opened, which takes a while
    opened = open_models(models or ("pets-lite",), device=device, runtime=runtime, threads=threads)
    serve_models(opened, limits, host=host, port=port)
    return 0
