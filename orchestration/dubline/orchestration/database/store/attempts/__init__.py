"""What workers do to jobs: claim, renew, checkpoint, charge, finish and rescue."""
