"""Speed and memory, each ratio measured within one run: `make bench`."""
