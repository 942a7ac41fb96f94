"""The networks: two stages that turn one portrait and one speech track into frames. Imports no other package of dubline but `options`."""
