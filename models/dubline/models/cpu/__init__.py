"""Inference on CPUs without bf16 matrix units: the convolutions run in ncnn (ADR 0047)."""
