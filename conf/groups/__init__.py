"""The options themselves: one frozen dataclass per component."""
