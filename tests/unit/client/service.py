"""An in-memory fake of the HTTP API and the bucket, for tests of the client."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "http://bucket.test"
KEY = "key-of-the-tests"
URL = "http://api.test"
VIDEO = b"not really a video"
SHA256 = hashlib.sha256(VIDEO).hexdigest()


class Service:
    """The fake service: rejects uploads by their content and finishes a job at its second poll.

    Attributes:
        calls: method and path of each request, in order.
        faults: responses or errors that replace the first real ones, by method and path.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[httpx2.Request] = []
        self.faults: dict[str, list[httpx2.Response | Exception]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, str] = {}
        self.made: dict[str, str] = {}
        self.limits = {"batch_rows": 10, "portrait_bytes": 100, "speech_bytes": 100, "presets": ["base", "tiny"]}

    def transport(self) -> httpx2.MockTransport:
        """Return the transport for a client of this service."""
        return httpx2.MockTransport(self.respond)

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        line = f"{request.method} {request.url.path}"
        self.calls.append(line)
        self.requests.append(request)
        if self.faults.get(line):
            fault = self.faults[line].pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        if str(request.url).startswith(BUCKET):
            assert "Authorization" not in request.headers, "the key must not be sent to the bucket"
            return self._bucket(request)
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return self._api(request)

    def _bucket(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return self._video(request.headers.get("Range", "bytes=0-"))
        self.uploads[request.url.path.strip("/")]["bytes"] = request.read()
        return httpx2.Response(200)

    def _video(self, wanted: str) -> httpx2.Response:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(VIDEO):
            return httpx2.Response(416)
        return httpx2.Response(206 if start else 200, content=VIDEO[start:])

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.read() or b"null")
        key = request.headers.get("Idempotency-Key", "")
        _, noun, *rest = request.url.path.strip("/").split("/")
        routes: dict[tuple[str, str, int], Callable[..., httpx2.Response]] = {
            ("GET", "limits", 0): lambda: httpx2.Response(200, json=self.limits),
            ("POST", "uploads", 0): lambda: self._create_upload(body, key),
            ("POST", "uploads", 2): lambda: self._get_upload(rest[0], "probing"),
            ("GET", "uploads", 1): lambda: self._get_upload(rest[0], None),
            ("POST", "jobs", 0): lambda: httpx2.Response(201, json=self._create_job(body, key)),
            ("GET", "jobs", 1): lambda: self._get_job(rest[0]),
            ("POST", "jobs", 2): lambda: self._cancel_job(rest[0]),
            ("DELETE", "jobs", 1): lambda: self._delete(self.jobs, rest[0]),
            ("DELETE", "uploads", 1): lambda: self._delete(self.uploads, rest[0]),
            ("POST", "batches", 0): lambda: self._create_batch(body, key),
            ("GET", "batches", 0): lambda: self._find_batch(request.url.params["idempotency_key"]),
            ("GET", "batches", 1): lambda: self._get_batch(rest[0]),
            ("GET", "batches", 2): lambda: self._page(request.url.params),
            ("POST", "batches", 2): lambda: self._cancel_batch(rest[0]),
            ("DELETE", "batches", 1): lambda: self._delete_batch(rest[0]),
        }
        return routes[request.method, noun, len(rest)]()

    def _create_upload(self, body: dict[str, Any], key: str) -> httpx2.Response:
        if not body["size_bytes"]:
            return problem(422, "empty_upload", "The file is empty.")
        upload_id = self.made.get(key, f"upload-{len(self.uploads)}")
        put = {"url": f"{BUCKET}/{upload_id}", "headers": {"Content-Type": body["content_type"]}}
        if upload_id not in self.uploads:
            self.made[key] = upload_id
            self.uploads[upload_id] = {"id": upload_id, "state": "pending", "kind": body["kind"]}
        shown = {name: value for name, value in self.uploads[upload_id].items() if name != "bytes"}
        return httpx2.Response(201, json={**shown, "put": put, "unknown": "ignored"})

    def _get_upload(self, upload_id: str, state: str | None) -> httpx2.Response:
        upload = self.uploads[upload_id]
        if state is None and upload["bytes"] == b"no face":
            upload["error"] = {"code": "no_face", "detail": "No face was found."}
            state = "rejected"
        upload["state"] = state or "ready"
        if upload["state"] == "ready" and "bytes" in upload:
            upload["facts"] = {"sha256": hashlib.sha256(upload["bytes"]).hexdigest()}
        return httpx2.Response(200, json={name: value for name, value in upload.items() if name != "bytes"})

    def _create_job(self, body: dict[str, Any], key: str = "") -> dict[str, Any]:
        if key in self.made:
            return self.jobs[self.made[key]]
        error = self.uploads[body["portrait_upload_id"]].get("error")
        job_id = f"job-{len(self.jobs)}"
        state = "failed" if error else "queued"
        self.jobs[job_id] = {"id": job_id, "state": state, "error": error, "request": body} | {
            "custom_id": body.get("custom_id")
        }
        if key:
            self.made[key] = job_id
        return self.jobs[job_id]

    def _get_job(self, job_id: str) -> httpx2.Response:
        if job_id not in self.jobs:
            return problem(404, "not_found", "There is no job with this id.")
        job = self.jobs[job_id]
        if job["state"] in {"queued", "running"}:
            job["state"] = "running" if job["state"] == "queued" else "succeeded"
        if job["state"] == "succeeded":
            job["result"] = {"url": f"{BUCKET}/{job_id}.mp4", "size_bytes": len(VIDEO), "sha256": SHA256}
        return httpx2.Response(200, json=job)

    def _create_batch(self, body: dict[str, Any], key: str) -> httpx2.Response:
        if key not in self.batches:
            self.batches[key] = f"batch-{len(self.batches)}"
            for job in body["jobs"]:
                self._create_job(job)
        return httpx2.Response(201, json={"id": self.batches[key], "job_count": len(body["jobs"])})

    def _find_batch(self, key: str) -> httpx2.Response:
        return httpx2.Response(200, json={"data": [{"id": self.batches[key]}] if key in self.batches else []})

    def _get_batch(self, batch_id: str) -> httpx2.Response:
        if batch_id not in self.batches.values():
            return problem(404, "not_found", "There is no batch with this id.")
        for job_id, job in self.jobs.items():
            if job["state"] in {"queued", "running"}:
                self._get_job(job_id)
        states = [job["state"] for job in self.jobs.values()]
        finished = not {"queued", "running"} & set(states)
        counts = {state: states.count(state) for state in states}
        return httpx2.Response(
            200, json={"id": batch_id, "job_count": len(states), "counts": counts, "finished": finished}
        )

    def _cancel_job(self, job_id: str) -> httpx2.Response:
        job = self.jobs[job_id]
        if job["state"] in {"queued", "running"}:
            job["state"] = "cancelled"
        return httpx2.Response(200, json=job)

    def _cancel_batch(self, batch_id: str) -> httpx2.Response:
        for job_id in self.jobs:
            self._cancel_job(job_id)
        return self._get_batch(batch_id)

    def _delete(self, resources: dict[str, dict[str, Any]], identifier: str) -> httpx2.Response:
        if identifier not in resources:
            return problem(404, "not_found", "There is nothing with this id.")
        del resources[identifier]
        return httpx2.Response(204, headers={"Dubline-Audit": f"audit-of-{identifier}"})

    def _delete_batch(self, batch_id: str) -> httpx2.Response:
        self.jobs.clear()
        self.batches = {key: kept for key, kept in self.batches.items() if kept != batch_id}
        return httpx2.Response(204, headers={"Dubline-Audit": f"audit-of-{batch_id}"})

    def _page(self, params: httpx2.QueryParams) -> httpx2.Response:
        start = int(params.get("cursor", 0))
        jobs = list(self.jobs.values())
        if "include" not in params:
            jobs = [job | {"result": job.get("result") and job["result"] | {"url": None}} for job in jobs]
        after = start + 2  # two jobs a page, whatever the limit
        return httpx2.Response(
            200,
            json={
                "data": jobs[start:after],
                "next_cursor": str(after) if after < len(jobs) else None,
                "changed_until": 1 + start,
            },
        )


def problem(status: int, code: str, detail: str) -> httpx2.Response:
    """Return an error response of the service."""
    return httpx2.Response(status, json={"status": status, "code": code, "detail": detail})
