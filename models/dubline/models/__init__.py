"""The networks: two stages that turn one portrait and one speech track into frames."""
