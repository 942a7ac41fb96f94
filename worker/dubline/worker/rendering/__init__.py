"""One job from two files to one video: the pipeline around the networks."""
