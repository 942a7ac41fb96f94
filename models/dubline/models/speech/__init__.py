"""Speech before the networks: where a recording has a voice, and how loud it is there."""
