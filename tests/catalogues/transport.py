"""Services without a socket: what `httpx` sends goes to a function."""

import httpx

from tests.catalogues.services import Request, Service


def transport(services: dict[str, Service]) -> httpx.MockTransport:
    """A transport that knows services by the beginning of their path."""

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        service = next(service for prefix, service in services.items() if path.startswith(prefix))
        reply = service(
            Request(
                method=request.method,
                target=path,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.read(),
            )
        )
        if reply.reset:
            raise httpx.ReadError("connection reset by peer", request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=httpx.ByteStream(reply.body.encode()))

    return httpx.MockTransport(handle)
