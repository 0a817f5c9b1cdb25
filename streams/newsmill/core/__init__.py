"""The pure core: text in, decisions out; no Kafka, no clock, no files but the rules."""
