"""The phases of a campaign."""
