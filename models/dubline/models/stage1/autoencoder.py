"""Stage 1: encodes a source frame once, then renders any motion latent from it. Keeps no state between frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from dubline.models.layers import resize, warp
from dubline.models.stage1.deformation_refiner import DeformationRefiner
from dubline.models.stage1.deviation import Deformation, DeviationDecoder, DeviationImageTransformer
from dubline.models.stage1.frame_decoder import FrameDecoder, GeneratedPixels
from dubline.models.stage1.motion_encoder import MotionEncoder
from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner
from dubline.models.stage1.source_encoder import AppearanceExtractor, SourceEncoder, SourceFeatures

if TYPE_CHECKING:
    from dubline.models.presets import AutoencoderParams


class Source(NamedTuple):
    """All that rendering needs to know of the source frame.

    frame: (B, 3, h, w) in [-1, 1], at its own resolution.
    whole: (B, 3, S, S), the same at the side that the networks see.
    small: (B, 3, H, W), the same at the side at which it is deformed and painted.
    features, appearance (B, A), motion (B, M), maps (B, R, C, H', W'): what the networks read off it.
    """

    frame: Tensor
    whole: Tensor
    small: Tensor
    features: SourceFeatures
    appearance: Tensor
    motion: Tensor
    maps: Tensor

    def repeat(self, count: int) -> Source:
        """The same source for `count` frames, without copying it."""

        def expand(tensor: Tensor) -> Tensor:
            return tensor.expand(count, *tensor.shape[1:])

        features = SourceFeatures(*map(expand, self.features))
        read = map(expand, (self.appearance, self.motion, self.maps))
        return Source(expand(self.frame), expand(self.whole), expand(self.small), features, *read)


class Rendering(NamedTuple):
    """One rendered batch with its parts: frame and warped are (B, 3, h, w) in [-1, 1] or, bicubic, a little beyond."""

    frame: Tensor
    warped: Tensor
    generated: GeneratedPixels
    deformation: Deformation


class Autoencoder(nn.Module):
    """Source encoder, motion encoder, deviation module, refiner, frame decoder and mouth-eye refiner."""

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
                # The layout that matrix units read; features follow their weights.
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode_source(self, frame: Tensor, size_px: int | None = None) -> Source:
        """Read everything off source frames (B, 3, h, w) in [-1, 1]; square, of any size.

        Training may render at another `size_px` than the preset: the renderer's convolutions do not mind, and latents
        and appearance codes are read at the preset's size all the same.
        """
        whole = resize(frame, self.params.size_px, self.params.size_px)
        side = size_px or self.params.render_px
        small = resize(whole, side, side)
        motion = self.motion_encoder(whole)
        return Source(
            frame,
            whole,
            small,
            self.source_encoder(small),
            self.appearance_extractor(whole),
            motion,
            self.deviation_transformer.maps(motion),
        )

    def encode_motion(self, frame: Tensor) -> Tensor:
        """Driving frames (B, 3, h, w) in [-1, 1] -> motion latents (B, M)."""
        latent: Tensor = self.motion_encoder(resize(frame, self.params.size_px, self.params.size_px))
        return latent

    def forward(self, source: Source, motion: Tensor) -> Rendering:
        """Render motion latents (B, M) from a source with batch B.

        There is nothing to retouch where `small` is as large as `whole`.
        """
        deviation = self.deviation_transformer(motion, source.maps)
        deformation = self.deviation_decoder(deviation, source.features.volume, source.appearance)
        relative = motion - source.motion
        if self.deformation_refiner is not None:
            deformation = self.deformation_refiner(deformation, source.features, relative)
        size = source.small.shape[-1]
        small_warped = warp(source.small, resize(deformation.mixed, size, size))
        generated = self.frame_decoder(source.features, small_warped, deformation, relative)
        if self.mouth_eye_refiner is not None and source.whole.shape[-1] > size:
            generated = self.mouth_eye_refiner(source.whole, deformation.mixed, generated, motion, source.motion)
        warped, generated = self._enlarge(source, small_warped, deformation, generated)
        frame = warped + generated.occlusion * (generated.colour - warped)
        return Rendering(frame, warped, generated, deformation)

    def render(self, source: Source, motion: Tensor) -> Tensor:
        """Render T frames from one source.

        Args:
            source: of batch 1.
            motion: (T, M).

        Returns:
            (T, 3, h, w) in [-1, 1] or, bicubic, a little beyond, at the source frame's own resolution.
        """
        frame: Tensor = self(source.repeat(len(motion)), motion).frame
        return frame

    @staticmethod
    def _enlarge(
        source: Source, warped: Tensor, deformation: Deformation, generated: GeneratedPixels
    ) -> tuple[Tensor, GeneratedPixels]:
        """Bring the picture to the source's own resolution: its pixels stay sharp, only the paint is enlarged.

        Detail finer than the paint's pixels is the source's own there too, as in a blend of Laplacian pyramids (Burt
        and Adelson, 1983): paint without it is seen as a blur.
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
