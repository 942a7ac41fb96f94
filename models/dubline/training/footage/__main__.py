"""Command line that extracts training clips from videos: `python -m dubline.training.footage VIDEOS --out CLIPS`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.footage.clip_selection import SelectionRules
from dubline.training.footage.clips import extract_all, find_videos, summarise


def main() -> None:
    """Parse the command line, extract the clips and print a summary."""
    rules = SelectionRules()
    parser = argparse.ArgumentParser(prog="python -m dubline.training.footage", description=__doc__)
    add = parser.add_argument
    add("videos", type=Path, help="folder of videos with sound; each subfolder is one person")
    add("--out", type=Path, required=True, help="folder for the clips")
    add("--heldout-share", type=float, default=0.1, help="share of persons that are held out for evaluation")
    add("--heldout", nargs="+", default=(), metavar="PERSON", help="hold out exactly these persons instead")
    add("--size", type=int, default=rules.size_px, help="side of the clip frames, px")
    add("--shortest", type=float, default=rules.shortest_s, help="shortest clip, s")
    add("--longest", type=float, default=rules.longest_s, help="longest clip, s")
    add(
        "--smallest-face",
        type=float,
        default=rules.smallest_face_px,
        help="smallest face width in the source video, px",
    )
    add("--jobs", type=int, default=2, help="videos processed in parallel")
    args = parser.parse_args()
    rules = SelectionRules(args.size, args.shortest, args.longest, args.smallest_face)
    sources = find_videos(args.videos, args.heldout_share, args.heldout)
    done = extract_all(sources, args.out, rules, args.jobs)
    Console().print(summarise(done), markup=False, soft_wrap=True)


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
