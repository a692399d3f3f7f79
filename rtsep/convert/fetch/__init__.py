"""Downloading published weights."""
