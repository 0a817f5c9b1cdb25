"""Replays: a stretch of the past, run again under a name of its own, compared with live, and promoted."""
