"""Training of the network that reads five points of a face (`dubline.framing.points`)."""
