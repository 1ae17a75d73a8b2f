"""Checks of what only runs with Docker, Kubernetes or systemd; scripts/check-deploy has the door."""
