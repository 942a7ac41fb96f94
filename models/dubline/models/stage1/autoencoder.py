"""The autoencoder of stage 1: encodes a source frame once and renders motion latents from it, without state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.layers import WithCore, resize, warp
from dubline.models.stage1 import shut_lids
from dubline.models.stage1.deformation_refiner import DeformationRefiner
from dubline.models.stage1.deviation import Deformation, DeviationDecoder, DeviationImageTransformer
from dubline.models.stage1.frame_decoder import FrameDecoder, GeneratedPixels
from dubline.models.stage1.motion_encoder import MotionEncoder
from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner
from dubline.models.stage1.source_encoder import AppearanceExtractor, SourceEncoder, SourceFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dubline.models.presets import AutoencoderParams
    from dubline.models.stage1.shut_lids import OpenLids

#: Share of the motion of closing lids. All of it pulls the brows down and stretches them over the lids, which are
#: generated in most of their area; on 24 photographs brows stay at .75 (docs/log.md).
LIDS_MOVED: Final = 0.75


class Source(NamedTuple):
    """A source frame with everything that the networks compute from it once."""

    frame: Tensor
    """(B, 3, h, w) in [-1, 1], at its own resolution."""
    network_frame: Tensor
    """(B, 3, S, S), at the side from which motion and appearance are encoded."""
    render_frame: Tensor
    """(B, 3, H, W), at the side at which frames are deformed and generated."""
    features: SourceFeatures
    """Features of `render_frame`."""
    appearance: Tensor
    """Appearance code (B, A)."""
    motion: Tensor
    """Motion latent (B, M)."""
    maps: Tensor
    """Maps of the motion latent (B, R, C, H', W')."""

    def repeat(self, count: int) -> Source:
        """Expand the first source to `count` frames without copying."""

        def expand(tensor: Tensor) -> Tensor:
            return tensor[:1].expand(count, *tensor.shape[1:])

        features = SourceFeatures(*map(expand, self.features))
        read = map(expand, (self.appearance, self.motion, self.maps))
        return Source(expand(self.frame), expand(self.network_frame), expand(self.render_frame), features, *read)


class Fields(NamedTuple):
    """What the networks compute for one batch, at their own side; enlargement makes frames of it."""

    displacement: Tensor
    """(B, 2, h, w), x then y, in half sides: how the source's pixels move."""
    generated: GeneratedPixels
    """Pixels that the source does not show, at side S."""

    def split(self, count: int) -> Iterator[Fields]:
        """Yield `count` frames at a time."""
        for displacement, *generated in zip(
            *(part.split(count) for part in (self.displacement, *self.generated)), strict=True
        ):
            yield Fields(displacement, GeneratedPixels(*generated))

    def combined(self, keys: Sequence[int], weights: Tensor) -> Fields:
        """Fill in the other frames of a batch of T frames.

        Args:
            keys: indices of the B frames in the batch, ascending.
            weights: (T, B), of these in each frame.

        Returns:
            All frames; those of `keys` are unchanged.
        """
        if len(keys) == len(weights):
            return self
        others = sorted({*range(len(weights))}.difference(keys))

        def filled(field: Tensor) -> Tensor:
            whole = field.new_empty(len(weights), *field.shape[1:])
            whole[list(keys)] = field
            whole[others] = (weights[others] @ field.flatten(1)).view(len(others), *field.shape[1:])
            return whole

        colour, occlusion = map(filled, self.generated)
        # Weights may be negative.
        return Fields(filled(self.displacement), GeneratedPixels(colour.clamp_(-1, 1), occlusion.clamp_(0, 1)))


class Rendering(NamedTuple):
    """One rendered batch with its intermediate results."""

    frame: Tensor
    """(B, 3, h, w) in [-1, 1]; bicubic sampling may exceed the range slightly."""
    warped: Tensor
    """(B, 3, h, w), the source moved by the deformation, in the same range."""
    generated: GeneratedPixels
    """At the same resolution."""
    deformation: Deformation
    """How the source moves."""


class Autoencoder(nn.Module):
    """Source encoder, motion encoder, deviation module, deformation refiner, frame decoder and mouth-eye refiner."""

    def __init__(self, params: AutoencoderParams) -> None:
        super().__init__()
        self.params = params
        self.source_encoder = SourceEncoder(params)
        self.appearance_extractor = AppearanceExtractor(params)
        self.motion_encoder = MotionEncoder(params)
        self.deviation_transformer = DeviationImageTransformer(params)
        self.deviation_decoder = DeviationDecoder(params)
        self.deformation_refiner = DeformationRefiner(params) if params.refines_deformation else None
        self.frame_decoder = FrameDecoder(params)
        self.mouth_eye_refiner = MouthEyeRefiner(params) if params.mouth_eye_widths else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # The layout that matrix units use; activations take the layout of the weights.
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def compiled_bytes(self) -> int:
        """Memory of the cores that another library computes."""
        cores = (module.compiled for module in self.modules() if isinstance(module, WithCore))
        return sum(core.size_bytes for core in cores if core is not None)

    def encode_source(self, frame: Tensor, size_px: int | None = None) -> Source:
        """Encode source frames.

        Args:
            frame: (B, 3, h, w) in [-1, 1], square, of any size.
            size_px: render at this side instead of the preset's. In training the renderer's convolutions accept other
                sides; motion latents and appearance codes are encoded at the preset's side in any case.
        """
        network_frame = resize(frame, self.params.size_px, self.params.size_px)
        side = size_px or self.params.render_px
        render_frame = resize(network_frame, side, side)
        motion = self.motion_encoder(network_frame)
        return Source(
            frame,
            network_frame,
            render_frame,
            self.source_encoder(render_frame),
            self.appearance_extractor(network_frame),
            motion,
            self.deviation_transformer.maps(motion),
        )

    def encode_motion(self, frame: Tensor) -> Tensor:
        """Encode driving frames (B, 3, h, w) in [-1, 1] as motion latents (B, M)."""
        latent: Tensor = self.motion_encoder(resize(frame, self.params.size_px, self.params.size_px))
        return latent

    def forward(self, source: Source, motion: Tensor) -> Rendering:
        """Render motion latents (B, M) from a source with batch B.

        The mouth-eye refiner is skipped if `render_frame` is as large as `network_frame`.
        """
        warped, generated, deformation = self._at_network_side(source, motion)
        warped, generated = self._enlarge(source, warped, deformation, generated)
        frame = warped + generated.occlusion * (generated.colour - warped)
        return Rendering(frame, warped, generated, deformation)

    def fields(self, source: Source, motion: Tensor, open_lids: OpenLids | None = None) -> Fields:
        """Compute T frames of one source at the networks' side: all that a renderer needs to enlarge them.

        Args:
            source: of batch 1.
            motion: (T, M).
            open_lids: the same motion without blinks. Default: the motion has none.
        """
        _, generated, deformation = self._at_network_side(source.repeat(len(motion)), motion, open_lids)
        return Fields(deformation.mixed, generated)

    def render(self, source: Source, motion: Tensor) -> Tensor:
        """Render T frames from one source.

        Args:
            source: of batch 1.
            motion: (T, M).

        Returns:
            (T, 3, h, w) at the source frame's own resolution, in [-1, 1]; bicubic sampling may exceed it slightly.
        """
        frame: Tensor = self(source.repeat(len(motion)), motion).frame
        return frame

    def deform(self, source: Source, motion: Tensor) -> Deformation:
        """Compute how sources (batch B) move for motion latents (B, M)."""
        deviation = self.deviation_transformer(motion, source.maps)
        deformation: Deformation = self.deviation_decoder(deviation, source.features.volume, source.appearance)
        if self.deformation_refiner is not None:
            deformation = self.deformation_refiner(deformation, source.features, motion - source.motion)
        return deformation

    def _with_lids(self, source: Source, deformation: Deformation, motion: Tensor, open_lids: Tensor) -> Deformation:
        """Reduce what blinks move to `LIDS_MOVED`."""
        blinks = (motion != open_lids).any(dim=1).nonzero()[:, 0]
        if self.deformation_refiner is None or not len(blinks):
            return deformation
        mixed = deformation.mixed.clone()
        still = self.deform(source.repeat(len(blinks)), open_lids[blinks]).mixed
        mixed[blinks] = still + LIDS_MOVED * (mixed[blinks] - still)
        return deformation._replace(mixed=mixed)

    def _at_network_side(
        self, source: Source, motion: Tensor, open_lids: OpenLids | None = None
    ) -> tuple[Tensor, GeneratedPixels, Deformation]:
        """Compute the moved source at the rendering side, the generated pixels and the deformation."""
        deformation, relative = self.deform(source, motion), motion - source.motion
        if open_lids is not None:
            deformation = self._with_lids(source, deformation, motion, open_lids.motion)
        size = source.render_frame.shape[-1]
        warped = warp(source.render_frame, resize(deformation.mixed, size, size))
        generated = self.frame_decoder(source.features, warped, deformation, relative)
        if self.mouth_eye_refiner is not None and source.network_frame.shape[-1] > size:
            generated = self.mouth_eye_refiner(
                source.network_frame, deformation.mixed, generated, motion, source.motion
            )
            if open_lids is not None:
                generated = shut_lids.with_lash_lines(generated, open_lids.closure)
        return warped, generated, deformation

    @staticmethod
    def _enlarge(
        source: Source, warped: Tensor, deformation: Deformation, generated: GeneratedPixels
    ) -> tuple[Tensor, GeneratedPixels]:
        """Bring warped and generated pixels to the source's own resolution.

        The warp is applied to the source's own pixels; only generated pixels are enlarged. Detail finer than a
        generated pixel is taken from the warped source there too, as in a blend of Laplacian pyramids (Burt and
        Adelson, 1983): without it generated areas look blurred.
        """
        height, width = source.frame.shape[-2:]
        if warped.shape[-2:] != (height, width):
            warped = warp(source.frame, resize(deformation.mixed, height, width), bicubic=True)
        side = generated.colour.shape[-1]
        occlusion = resize(generated.occlusion, height, width)
        if height <= side:
            return warped, GeneratedPixels(resize(generated.colour, height, width), occlusion)
        change = generated.colour - resize(warped, side, side)
        return warped, GeneratedPixels(warped + resize(change, height, width, bicubic=True), occlusion)
