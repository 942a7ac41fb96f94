"""Where the face is and which square around it the networks see: the product and its training frame alike."""
