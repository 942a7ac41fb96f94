"""Problem details (RFC 9457): the one shape of every error answer."""

from __future__ import annotations

from pydantic import Field

from dubline.api.schemas.fields import AnswerModel


class ProblemItem(AnswerModel):
    """One fault among several in a request: of one field, or of one row of a batch."""

    pointer: str = Field(
        description="A JSON pointer into the body (`#/jobs/3/seed`), or `path/name`, `query/name` and so on.",
        examples=["#/jobs/3/preset"],
    )
    code: str = Field(description="Stable and snake_case.", examples=["unknown_preset"])
    detail: str = Field(description="A sentence that helps.", examples=["There is no preset 'huge'."])


class Problem(AnswerModel):
    """An error, as application/problem+json."""

    type: str = Field(description="Names the kind of problem.", examples=["urn:dubline:problem:not_found"])
    title: str = Field(description="The same for every problem of this type.", examples=["Not found"])
    status: int = Field(description="The HTTP status of this answer.", examples=[404])
    code: str = Field(description="Stable and snake_case; branch on this.", examples=["not_found"])
    detail: str = Field(
        description="What was wrong, what was expected and what to do.",
        examples=["There is no job with this id."],
    )
    request_id: str | None = Field(
        description="Quote this when you ask for help; it is in our logs.",
        examples=["6f1d0c3c2f0e4ac9a4a2a9f5f6f2b0aa"],
    )
    errors: list[ProblemItem] | None = Field(
        default=None, description="Each fault of a request that has several; the first 1,000 of them."
    )
