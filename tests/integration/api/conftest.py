"""Fixtures: the API with a real database and bucket, and helpers in place of the workers and the cleaner."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.testclient import TestClient
from tests.integration.orchestration.rows import ready_upload
from tests.servers import free_port

from dubline.api.app import create_app
from dubline.api.problems import MEDIA_TYPE
from dubline.api.services import Services
from dubline.orchestration.domain.faces import Face, Remark
from dubline.orchestration.domain.uploads import ProbeLease, UploadFacts, UploadKind
from dubline.orchestration.maintenance import cleaner
from dubline.orchestration.settings import LimitSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response
    from starlette.routing import BaseRoute

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings
    from dubline.orchestration.storage.objects import Objects

FACTS = {
    UploadKind.PORTRAIT: UploadFacts(
        media_type="image/png",
        size_bytes=10,
        sha256="ab" * 32,
        width_px=320,
        height_px=240,
        face_box=(10, 20, 110, 140),
        faces=(
            Face(box=(10, 20, 110, 140), tilt_deg=25.0, warnings=(Remark("tilted", "The face leans by 25 degrees."),)),
            Face(box=(200, 30, 260, 90), error=Remark("face_profile", "The face is seen from the side.")),
        ),
    ),
    UploadKind.SPEECH: UploadFacts(media_type="audio/wav", size_bytes=10, sha256="cd" * 32, duration_s=2.5),
}


class DescribedClient(TestClient):
    """A client that checks each response in every test.

    Its status is one that OpenAPI lists for the route, and errors are not in the words of pydantic.
    """

    def request(self, method: str, url: Any, **options: Any) -> Response:
        response = super().request(method, url, **options)
        assert isinstance(self.app, FastAPI)
        listed = listed_statuses(self.app, method, response.url.path)
        assert listed is None or response.status_code in listed or response.status_code in _UNLISTED
        if response.headers.get("content-type") == MEDIA_TYPE:
            assert not _RAW.search(response.text)
        return response


def described(services: Services, **headers: str) -> DescribedClient:
    """Return a client of an app whose routes are those of all others."""
    app = create_app(services)
    # An app prepares its routes at its first request, which takes as long as twenty requests.
    if not _ROUTES:
        _ROUTES.extend(app.router.routes)
    app.router.routes = _ROUTES
    return DescribedClient(app, headers=headers)


#: The routes of the first app. They hold nothing of its services.
_ROUTES: list[BaseRoute] = []
#: Words of pydantic.
_RAW = re.compile(
    "(Input|String|List|Frozenset|Value|Data) should|Field required|Extra inputs|Value error|unable to parse"
)
#: Of an unexpected error, and of a method without an operation.
_UNLISTED = {500, 405}
#: Paths of the OpenAPI document. It is the same for every app, and takes a fifth of a second to generate.
_PATHS: dict[str, Any] = {}


def listed_statuses(app: FastAPI, method: str, path: str) -> set[int] | None:
    """Return the statuses that OpenAPI lists for a request; None without an operation."""
    scope = {"type": "http", "method": method.upper(), "path": path, "root_path": "", "headers": []}
    if not _PATHS:
        _PATHS.update(app.openapi()["paths"])
    for route in app.routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL and route.include_in_schema:
            responses = _PATHS[route.path_format][method.lower()]["responses"]
            return set(map(int, responses))
    return None


class Prober:
    """Creates uploads of one tenant and moves them to the states that a prober sets."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store = store
        self._uploads = store.uploads
        self._tenant = tenant

    def probing(self, kind: str) -> str:
        return str(self._claim(kind).upload.id)

    def ready(self, kind: str) -> str:
        facts = FACTS[UploadKind(kind)]
        return str(ready_upload(self._store, self._tenant, UploadKind(kind), "audio/wav", facts).id)

    def rejected(self, kind: str, code: str, detail: str) -> str:
        return str(self._uploads.reject(self._claim(kind), code, detail).id)

    def _claim(self, kind: str) -> ProbeLease:
        upload = self._uploads.insert(self._tenant, UploadKind(kind), "audio/wav", 10)
        self._uploads.mark_probing(self._tenant, upload.id)
        lease = self._uploads.claim("prober-1", 60)
        assert lease is not None
        assert lease.upload.id == upload.id
        return lease


class Renderer:
    """Claims and finishes jobs as a worker does."""

    def __init__(self, store: Store) -> None:
        self._leases = store.leases

    def claim(self, job_id: str | UUID) -> Lease:
        lease = self._leases.claim("renderer-1", 60)
        assert lease is not None
        assert str(lease.job_id) == str(job_id)
        return lease

    def finish(self, lease: Lease, size_bytes: int, duration_s: float) -> None:
        self._leases.finish(lease, size_bytes, duration_s)


class Outbox:
    """Publishes the outbox as the maintenance process does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def publish(self) -> dict[str, int]:
        """Publish all notifications; return their number by task."""
        sent: dict[str, int] = {}
        self._store.outbox.publish(sent.update)
        return sent


class Files:
    """Creates objects as senders and workers do, and removes them as the cleaner does."""

    def __init__(self, services: Services, tenant: str, path: Path) -> None:
        self._services = services
        self._tenant = tenant
        self._path = path
        path.write_bytes(b"bytes")

    def put_upload(self, upload_id: str) -> str:
        return self._put(self._services.store.uploads.get(self._tenant, UUID(upload_id)).object_key)

    def put_result(self, lease: Lease) -> str:
        self._put(lease.result_key)
        self._services.store.leases.finish(lease, 5, 2.5)
        return lease.result_key

    def has(self, key: str) -> bool:
        return self._services.objects.size_bytes(key) is not None

    def clean(self) -> None:
        cleaner.clean(self._services.store, self._services.objects)

    def _put(self, key: str) -> str:
        self._services.objects.put(self._path, key, "video/mp4")
        assert self.has(key)
        return key


@pytest.fixture(scope="session")
def limits() -> LimitSettings:
    """Default limits. Settings are read from every place that may set them, which takes as long as a request."""
    return LimitSettings()


@pytest.fixture
def services(store: Store, objects: Objects, limits: LimitSettings) -> Services:
    return Services(store=store, objects=objects, limits=limits)


@pytest.fixture
def tenant() -> str:
    return "acme"


@pytest.fixture
def key(store: Store, tenant: str) -> str:
    return store.keys.create(tenant)


@pytest.fixture
def anonymous(services: Services) -> Iterator[TestClient]:
    with described(services) as client:
        yield client


@pytest.fixture
def client(services: Services, key: str) -> Iterator[TestClient]:
    with described(services, Authorization=f"Bearer {key}") as client:
        yield client


@pytest.fixture
def stranger(services: Services) -> Iterator[TestClient]:
    """A client of another tenant."""
    with described(services, Authorization=f"Bearer {services.store.keys.create('globex')}") as client:
        yield client


@pytest.fixture
def prober(store: Store, tenant: str, key: str) -> Prober:
    assert key, "a tenant is created with its first key"
    return Prober(store, tenant)


@pytest.fixture
def renderer(store: Store) -> Renderer:
    return Renderer(store)


@pytest.fixture
def outbox(store: Store) -> Outbox:
    return Outbox(store)


@pytest.fixture
def files(services: Services, tenant: str, tmp_path: Path) -> Files:
    return Files(services, tenant, tmp_path / "object")


@pytest.fixture
def unavailable_bucket(bucket: BucketSettings) -> BucketSettings:
    """Settings of a bucket without a server."""
    return bucket.model_copy(update={"endpoint_url": "http://127.0.0.1:1"})


@pytest.fixture
def environment(database: DatabaseSettings, bucket: BucketSettings) -> dict[str, str]:
    """Environment of an API process."""
    return environment_of(database, bucket)


def environment_of(database: DatabaseSettings, bucket: BucketSettings) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DUBLINE_")}
    return clean | {
        "DUBLINE_DATABASE_URL": database.url.get_secret_value(),
        "DUBLINE_BUCKET_NAME": bucket.name,
        "DUBLINE_BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "DUBLINE_BUCKET_ACCESS_KEY": "test",
        "DUBLINE_BUCKET_SECRET_KEY": "test",
        "DUBLINE_API_PORT": str(free_port()),
    }
