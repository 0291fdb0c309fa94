"""The REST application asked in process, without a port and without a thread."""

import asyncio
from typing import Any


class Asgi:
    """`get`, `post` and `request` as httpx's client has them; a failure inside is a status 500."""

    def __init__(self, app: Any) -> None:
        import httpx

        self.transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Any:
        return self.request("POST", path, **kwargs)

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        return asyncio.run(self._request(method, path, **kwargs))

    async def _request(self, method: str, path: str, **kwargs: Any) -> Any:
        import httpx

        async with httpx.AsyncClient(transport=self.transport, base_url="http://serving") as client:
            return await client.request(method, path, **kwargs)
