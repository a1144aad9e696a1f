"""What the stand-in answers: authentication, cache, a simulated upstream, and the faults of a bad release."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import random
import time
from collections import OrderedDict
from dataclasses import dataclass

from examples.llm_proxy.http_server import Request, Response
from examples.llm_proxy.settings import Settings

_CACHED_ANSWERS = 1000
_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")


@dataclass(frozen=True, slots=True)
class _Cached:
    body: bytes
    etag: str


class Proxy:
    """One process of the service."""

    def __init__(self, settings: Settings, choose: random.Random | None = None) -> None:
        self._settings = settings
        self._choose = choose or random.Random()
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._authorization = f"Bearer {settings.token}".encode()

    async def respond(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path.partition("?")[0]
        if path == "/health":
            return self._health(request)
        if not path.startswith("/v1/"):
            return _error(404, "not_found", f"There is no {path}.")
        if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), self._authorization):
            return _error(401, "invalid_api_key", "The bearer token is missing or wrong.")
        if self._settings.added_latency_ms:
            await asyncio.sleep(self._settings.added_latency_ms / 1000)
        if self._choose.random() < self._settings.error_ratio:
            return _error(500, "internal_error", "This release answers a share of its requests so.")
        if path == "/v1/models":
            return self._models(request)
        if path == "/v1/chat/completions":
            return await self._completion(request)
        return _error(404, "not_found", f"There is no {path}.")

    def _health(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _error(405, "method_not_allowed", "Ask with GET.")
        if self._settings.unhealthy:
            return _json(503, {"status": "unhealthy"})
        return _json(200, {"status": "ok"})

    @staticmethod
    def _models(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _error(405, "method_not_allowed", "Ask with GET.")
        return _json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in _MODELS]})

    async def _completion(self, request: Request) -> Response:
        """Answer from the cache if the same question was answered before, else from upstream."""
        if request.method != "POST":
            return _error(405, "method_not_allowed", "Ask with POST.")
        question = _question(request.body)
        if question is None:
            return _error(400, "invalid_request_error", "The body needs a model and messages.")
        key = hashlib.sha256(request.body).digest()
        cached = self._cache.get(key)
        if cached is not None:
            self._cache.move_to_end(key)
            if cached.etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
                return Response(304, headers={"ETag": cached.etag, "X-PROXY-CACHE": "conditional-hit"})
            return _completion_response(cached, "hit")
        started = time.time_ns()
        await self._wait_for_upstream()
        stopped = time.time_ns()
        answer = _answer(*question)
        self._keep(key, answer)
        timing = {}
        if "x-request-start" in request.headers:
            timing = {"X-UPSTREAM-REQUEST-START": str(started), "X-UPSTREAM-REQUEST-STOP": str(stopped)}
        return _completion_response(answer, "miss", timing)

    async def _wait_for_upstream(self) -> None:
        median_s = self._settings.upstream_median_ms / 1000
        await asyncio.sleep(self._choose.lognormvariate(math.log(median_s), self._settings.upstream_sigma))

    def _keep(self, key: bytes, answer: _Cached) -> None:
        self._cache[key] = answer
        if len(self._cache) > _CACHED_ANSWERS:
            self._cache.popitem(last=False)


def _question(body: bytes) -> tuple[str, str] | None:
    """Return the model and the last message's text, or None if the body is no chat request."""
    try:
        asked = json.loads(body)
        model, content = asked["model"], asked["messages"][-1]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return (model, content) if isinstance(model, str) and isinstance(content, str) else None


def _answer(model: str, content: str) -> _Cached:
    """Return what the simulated upstream says: an echo, in the form of a chat completion."""
    digest = hashlib.sha256(f"{model}\n{content}".encode()).hexdigest()
    body = json.dumps(
        {
            "id": f"chatcmpl-{digest[:24]}",
            "object": "chat.completion",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": f"You asked: {content}"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": len(content.split()), "completion_tokens": len(content.split()) + 2},
        }
    ).encode()
    return _Cached(body, f'"{digest[:32]}"')


def _completion_response(answer: _Cached, cache: str, timing: dict[str, str] | None = None) -> Response:
    headers = {"Content-Type": "application/json", "ETag": answer.etag, "X-PROXY-CACHE": cache, **(timing or {})}
    return Response(200, answer.body, headers)


def _json(status: int, content: object) -> Response:
    return Response(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def _error(status: int, code: str, message: str) -> Response:
    return _json(status, {"error": {"code": code, "message": message}})
