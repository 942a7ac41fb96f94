"""What the C2PA manifest of a file says, for `dubline verify`. The only place of the client with c2pa."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dubline.options.printable import is_printable

if TYPE_CHECKING:
    from pathlib import Path

#: State of c2pa -> what it means.
_STATES: Final = {
    "Trusted": "valid, of a trusted signer",
    "Valid": "valid, of a signer that is on no trust list",
    "Invalid": "not valid: the file was changed, or the signature is wrong",
}
_NAME_CHARS: Final = 100
#: A file names the address of a manifest elsewhere; reading a file must send no request.
_OFFLINE: Final = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def manifest_state(path: Path) -> str:
    """Return the state of a file's manifest as one phrase."""
    try:
        import c2pa  # noqa: PLC0415 - an extra
    except ImportError:
        return "not read; install dubline[provenance]"
    try:
        with c2pa.Context.from_dict(_OFFLINE) as context, path.open("rb") as file:
            reader = c2pa.Reader.try_create("video/mp4", file, None, context)
            if reader is None:
                return "none"
            with reader:
                state = _STATES.get(reader.get_validation_state() or "", "unknown")
                return f"{state}; signed by {_signer(reader.get_active_manifest())}"
    except c2pa.C2paError:
        return "not readable"


def _signer(manifest: Any) -> str:
    info = (manifest or {}).get("signature_info") or {}
    # The name comes from the file.
    name = str(info.get("common_name") or info.get("issuer") or "nobody")[:_NAME_CHARS]
    return "".join(one if is_printable(one) else "?" for one in name)
