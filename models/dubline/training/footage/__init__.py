"""Makes clips of people's videos."""
