"""The C2PA manifest of a video, signed with the operator's key. The only place of the service with c2pa."""

from __future__ import annotations

import base64
import io
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from dubline.worker.settings import ProvenanceSettings

#: IPTC's term for media that a trained model has made.
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: A picture of one pixel, signed at the start to test key and certificate.
_PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

_log = structlog.get_logger(__name__)


class ProvenanceError(RuntimeError):
    """Videos cannot be signed as configured; the sentence says why and what to do."""


class _Written(io.FileIO):
    """A new file that keeps the error of a write, in place of which c2pa raises one without a reason.

    Attributes:
        fault: the error; None: there was none.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.fault: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write data; return how many bytes were written."""
        try:
            return super().write(data)
        except OSError as error:
            self.fault = error
            raise


class Provenance:
    """Signs videos with one key."""

    def __init__(self, settings: ProvenanceSettings) -> None:
        """Load the key and sign a picture with it as a test.

        Raises:
            ProvenanceError: c2pa-python is not installed, a file cannot be read, or key and certificate do not fit.
        """
        try:
            import c2pa  # noqa: PLC0415 - only an installation with a key has it
        except ImportError as error:
            raise ProvenanceError(
                "DUBLINE_PROVENANCE_KEY_FILE is set, but c2pa-python is not installed. Install dubline[provenance], "
                "or unset the variable."
            ) from error
        self._c2pa = c2pa
        certificate, key = _read(settings.certificate_file), _read(settings.key_file)
        try:
            # No timestamp authority: rendering needs no network.
            info = c2pa.C2paSignerInfo(settings.algorithm, certificate, key, None)
            self._signer = c2pa.Signer.from_info(info)
            with self._builder("image/png", "test") as builder:
                builder.sign(self._signer, "image/png", io.BytesIO(_PIXEL), io.BytesIO())
        except c2pa.C2paError as error:
            # The error may quote what it could not parse, so it is not shown.
            raise ProvenanceError(
                "The key of DUBLINE_PROVENANCE_KEY_FILE cannot sign with its certificate "
                f"({type(error).__name__.lstrip('_')}). Check the algorithm ({settings.algorithm}), that both files "
                "are PEM and belong together, and that the certificate is valid today and for signing."
            ) from error
        _log.info("provenance_prepared", algorithm=settings.algorithm)

    @classmethod
    def configured(cls, settings: ProvenanceSettings) -> Provenance | None:
        """Return the signer of the settings; None if no key is configured.

        Raises:
            ProvenanceError: as for a new one.
        """
        return cls(settings) if settings.key_file else None

    def sign(self, video: Path, title: str) -> Path:
        """Write a signed copy beside an MP4 file and return its path.

        Args:
            video: the file, which stays as it is.
            title: name of the video in the manifest.

        Raises:
            OSError: the copy cannot be written, as on a full disk.
        """
        signed = video.with_name(f"signed-{video.name}")
        written = _Written(signed)
        with self._builder("video/mp4", title) as builder, video.open("rb") as file, io.BufferedRandom(written) as copy:
            try:
                builder.sign(self._signer, "video/mp4", file, copy)
            except self._c2pa.C2paError as error:
                # c2pa does not tell that the disk is full, which is no defect.
                raise written.fault or error from error
        _log.info("video_signed", size_bytes=signed.stat().st_size)
        return signed

    def _builder(self, media_type: str, title: str) -> Any:
        created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}
        return self._c2pa.Builder(
            {
                "claim_generator_info": [{"name": "Dubline", "version": version("dubline")}],
                "format": media_type,
                "title": title,
                "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
            }
        )


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ProvenanceError(f"Cannot read {name}: {error.strerror}. Check DUBLINE_PROVENANCE_*_FILE.") from error
