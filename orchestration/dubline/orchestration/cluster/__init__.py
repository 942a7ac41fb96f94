"""The loop that scales the workers of each pool on Kubernetes."""
