"""llmi2i: better item-to-item recommenders from LLM-generated, LLM-filtered interactions (LLM-I2I, AAAI 2026)."""

__version__ = "0.1.0"
