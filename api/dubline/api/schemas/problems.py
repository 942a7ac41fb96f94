"""Problem details (RFC 9457), the schema of every error response."""

from __future__ import annotations

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel


class ProblemItem(ResponseModel):
    """One of several faults in a request: of a field, or of a row of a batch."""

    pointer: str = Field(
        description="A JSON pointer into the body (`#/jobs/3/seed`), or `path/name`, `query/name` and so on.",
        examples=["#/jobs/3/preset"],
    )
    code: str = Field(description="Stable identifier in snake_case.", examples=["unknown_preset"])
    detail: str = Field(description="What is wrong, in one sentence.", examples=["There is no preset 'huge'."])


class Problem(ResponseModel):
    """An error as application/problem+json."""

    type: str = Field(description="URN of the problem type.", examples=["urn:dubline:problem:not_found"])
    title: str = Field(description="Title of the problem type.", examples=["Not found"])
    status: int = Field(description="HTTP status of this response.", examples=[404])
    code: str = Field(description="Stable identifier in snake_case.", examples=["not_found"])
    detail: str = Field(
        description="What is wrong, what is expected and what to do.",
        examples=["There is no job with this id."],
    )
    request_id: str | None = Field(
        description="Id of the request in the server's logs.",
        examples=["6f1d0c3c2f0e4ac9a4a2a9f5f6f2b0aa"],
    )
    errors: list[ProblemItem] | None = Field(
        default=None, description="The faults of a request with several faults, at most 100."
    )
