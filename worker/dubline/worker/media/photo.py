"""Lists the faces of a picture: `python -m dubline.worker.media.photo FILE`, for `dubline faces`.

The picture is examined in the sandbox, as an uploaded one. The answer is one line of JSON on standard output: the
facts, or `error` with the code and the sentence with which the upload would be rejected.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from dubline.orchestration.domain.errors import BadInputError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import probe


def main(path: Path) -> int:
    """Print what the probe of a picture finds; return 0."""
    try:
        facts = probe.probe(path, UploadKind.PORTRAIT, LimitSettings.read())
        found: dict[str, object] = {
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "faces": [face.as_json() for face in facts.faces],
            "warnings": [asdict(one) for one in facts.warnings],
        }
    except BadInputError as error:
        found = {"error": {"code": error.code, "detail": error.detail}}
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
