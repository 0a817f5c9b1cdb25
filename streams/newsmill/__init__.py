"""newsmill: raw news articles on a Kafka topic → clean, deduplicated, classified, clustered events."""

from importlib.metadata import version

__version__: str = version("newsmill")

__all__ = ["__version__"]
