"""Replay: any stretch of the past again, beside live and without touching it until a person promotes the result."""
