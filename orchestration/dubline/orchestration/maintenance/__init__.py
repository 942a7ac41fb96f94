"""The maintenance process: periodic tasks that publish, rescue, clean up and sweep."""
