"""The `dubline` command line."""
