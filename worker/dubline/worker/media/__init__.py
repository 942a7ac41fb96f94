"""Media files: decoding of portraits and speech, probing in a separate process, encoding with ffmpeg. No torch."""
